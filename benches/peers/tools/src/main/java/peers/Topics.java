package peers;

import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.TopicPartition;

/**
 * bootstrap= and any of: delete=name,... (name* allowed), create=name:partitions[:config=value;...],..., end=name (prints the sum
 * of its end offsets, -1 if there is no such topic), size=name (name* allowed; prints the bytes that the first broker has of them).
 */
public final class Topics {
  public static void main(String[] a) throws Exception {
    Map<String, String> o = Opt.parse(a);
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) o.get("bootstrap")))) {
      Set<String> present = admin.listTopics().names().get();
      if (o.containsKey("delete")) {
        List<String> names = Arrays.asList(o.get("delete").split(","));
        admin.deleteTopics(present.stream().filter(t -> names.stream().anyMatch(n -> matches(n, t))).toList()).all().get();
      }
      if (o.containsKey("create")) for (String spec : o.get("create").split(",")) create(admin, spec.split(":"));
      if (o.containsKey("size")) {
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        System.out.println(admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values().stream()
            .flatMap(d -> d.replicaInfos().entrySet().stream()).filter(e -> matches(o.get("size"), e.getKey().topic())).mapToLong(e -> e.getValue().size()).sum());
      }
      if (o.containsKey("end")) System.out.println(present.contains(o.get("end")) ? end(admin, o.get("end")) : -1);
    }
  }
  static boolean matches(String pattern, String topic) {
    int star = pattern.indexOf('*');
    return star < 0 ? topic.equals(pattern) : topic.startsWith(pattern.substring(0, star)) && topic.endsWith(pattern.substring(star + 1));
  }
  static void create(Admin admin, String[] f) throws Exception {
    Map<String, String> config = new HashMap<>(Map.of("retention.ms", "-1"));
    if (f.length > 2) for (String kv : f[2].split(";")) config.put(kv.substring(0, kv.indexOf('=')), kv.substring(kv.indexOf('=') + 1));
    admin.createTopics(List.of(new NewTopic(f[0], Integer.parseInt(f[1]), (short) 1).configs(config))).all().get();
  }
  static long end(Admin admin, String topic) throws Exception {
    Map<TopicPartition, OffsetSpec> of = new HashMap<>();
    for (var p : admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions())
      of.put(new TopicPartition(topic, p.partition()), OffsetSpec.latest());
    return admin.listOffsets(of).all().get().values().stream().mapToLong(r -> r.offset()).sum();
  }
}
