package peers;

import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.*;

/**
 * Follows a run from outside: every 100 ms one line
 * {"ms":wall clock,"out":committed end of the output topic,"high":its high watermark,"in":committed offsets of the group in the
 * input topic,"inner":committed offsets of the group in all other topics}. Ends when standard input does.
 * bootstrap= out= in= [group=: without it "in" and "inner" are 0]
 */
public final class Watch {
  public static void main(String[] a) throws Exception {
    Map<String, String> o = Opt.parse(a);
    String out = o.get("out"), in = o.get("in"), group = o.get("group");
    Thread end = new Thread(() -> { try { while (System.in.read() >= 0) { } } catch (Exception e) { } System.exit(0); });
    end.setDaemon(true);
    end.start();
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) o.get("bootstrap")))) {
      List<TopicPartition> parts = admin.describeTopics(List.of(out)).allTopicNames().get().get(out).partitions().stream()
          .map(p -> new TopicPartition(out, p.partition())).toList();
      for (long next = System.currentTimeMillis(); ; next += 100) {
        String line;
        try {
          var committed = ends(admin, parts, IsolationLevel.READ_COMMITTED);
          var high = ends(admin, parts, IsolationLevel.READ_UNCOMMITTED);
          long[] position = new long[2];
          Map<TopicPartition, OffsetAndMetadata> offsets =
              group == null ? Map.of() : admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
          for (var e : offsets.entrySet())
            if (e.getValue() != null) position[e.getKey().topic().equals(in) ? 0 : 1] += e.getValue().offset();
          line = String.format("{\"ms\":%d,\"out\":%d,\"high\":%d,\"in\":%d,\"inner\":%d}",
              System.currentTimeMillis(), sum(committed), sum(high), position[0], position[1]);
        } catch (java.util.concurrent.ExecutionException e) { // for example the group does not exist yet
          line = String.format("{\"ms\":%d,\"error\":\"%s\"}", System.currentTimeMillis(), e.getCause().getClass().getSimpleName());
        }
        System.out.println(line);
        System.out.flush();
        Thread.sleep(Math.max(1, next + 100 - System.currentTimeMillis()));
      }
    }
  }
  static ListOffsetsResult ends(Admin admin, List<TopicPartition> parts, IsolationLevel level) {
    return admin.listOffsets(parts.stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest())), new ListOffsetsOptions(level));
  }
  static long sum(ListOffsetsResult r) throws Exception {
    return r.all().get().values().stream().mapToLong(ListOffsetsResult.ListOffsetsResultInfo::offset).sum();
  }
}
