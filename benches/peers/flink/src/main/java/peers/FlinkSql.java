package peers;

import java.nio.file.*;
import java.util.*;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/** Runs a file of SQL in this process and waits for its end: script= state=dir commit=ms backend=hashmap|rocksdb threads= [c.KEY=VALUE Flink] */
public final class FlinkSql {
  public static void main(String[] a) throws Exception {
    Map<String, String> o = new HashMap<>();
    for (String x : a) { int i = x.indexOf('='); o.put(x.substring(0, i), x.substring(i + 1)); }
    Configuration c = new Configuration();
    c.setString("execution.checkpointing.interval", o.getOrDefault("commit", "1000") + "ms");
    c.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
    c.setString("execution.checkpointing.dir", "file://" + o.get("state"));
    c.setString("execution.checkpointing.incremental", "true");
    c.setString("state.backend.type", o.getOrDefault("backend", "hashmap"));
    c.setString("taskmanager.memory.managed.size", "1g");
    c.setString("taskmanager.memory.network.max", "128m");
    c.setString("restart-strategy.type", "none");
    // As the benchmark itself sets them: what is faster.
    c.setString("pipeline.object-reuse", "true");
    c.setString("table.exec.mini-batch.enabled", "true");
    c.setString("table.exec.mini-batch.allow-latency", "2s");
    c.setString("table.exec.mini-batch.size", "50000");
    c.setString("table.local-time-zone", "UTC");
    o.forEach((k, v) -> { if (k.startsWith("c.")) c.setString(k.substring(2), v); });
    int threads = Integer.parseInt(o.getOrDefault("threads", "2"));
    StreamTableEnvironment t = StreamTableEnvironment.create(StreamExecutionEnvironment.createLocalEnvironment(threads, c));
    for (String statement : Files.readString(Path.of(o.get("script"))).split(";\\s*\n")) {
      if (statement.isBlank()) continue;
      TableResult result = t.executeSql(statement);
      if (statement.contains("INSERT INTO")) result.await();
    }
    System.exit(0); // threads of clients may be left
  }
}
