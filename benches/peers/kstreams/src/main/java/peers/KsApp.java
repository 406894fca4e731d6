package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

/** Kafka Streams: app=w1|w2|w3t|w3h in= out= id= state= mode=eos|alo commit=ms threads= [cache=bytes] [store=rocksdb|mem (w2)] [c.KEY=VALUE extra configuration] */
public final class KsApp {
  public static final class Event { public long id; public String user; public String item; public double price; public long ts; public String page; }
  public static final class Slim { public long id; public String user; public double price; public long ts; }
  static final ObjectMapper M = new ObjectMapper();

  public static void main(String[] a) throws Exception {
    Map<String, String> o = new HashMap<>();
    for (String x : a) { int i = x.indexOf('='); o.put(x.substring(0, i), x.substring(i + 1)); }
    Properties p = new Properties();
    p.put("application.id", o.get("id")); p.put("bootstrap.servers", o.get("bootstrap"));
    p.put("state.dir", o.get("state")); p.put("num.stream.threads", o.getOrDefault("threads", "2"));
    p.put("processing.guarantee", o.getOrDefault("mode", "eos").equals("eos") ? "exactly_once_v2" : "at_least_once");
    p.put("commit.interval.ms", o.getOrDefault("commit", "1000"));
    p.put("consumer.auto.offset.reset", "earliest"); p.put("replication.factor", "1");
    if (o.containsKey("cache")) p.put("statestore.cache.max.bytes", o.get("cache"));
    o.forEach((k, v) -> { if (k.startsWith("c.")) p.put(k.substring(2), v); });

    StreamsBuilder b = new StreamsBuilder();
    String in = o.get("in"), out = o.get("out"), app = o.get("app");
    switch (app) {
      case "w1" -> b.stream(in, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
          .mapValues(KsApp::parse).filter((k, e) -> e.price > 50.0).mapValues(KsApp::slim)
          .to(out, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
      case "w2" -> b.stream(in, Consumed.with(Serdes.ByteArray(), Serdes.String()))
          .flatMapValues(v -> Arrays.asList(v.split(" ")))
          .groupBy((k, w) -> w, Grouped.with(Serdes.String(), Serdes.String()))
          .count(Materialized.<String, Long>as(o.getOrDefault("store", "rocksdb").equals("mem") ? org.apache.kafka.streams.state.Stores.inMemoryKeyValueStore("counts") : org.apache.kafka.streams.state.Stores.persistentKeyValueStore("counts")).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
          .toStream().mapValues(v -> Long.toString(v))
          .to(out, Produced.with(Serdes.String(), Serdes.String()));
      case "w3t", "w3h" -> {
        TimeWindows w = TimeWindows.ofSizeAndGrace(Duration.ofSeconds(app.equals("w3t") ? 10 : 30), Duration.ofSeconds(5));
        if (app.equals("w3h")) w = w.advanceBy(Duration.ofSeconds(10));
        b.stream(in, Consumed.with(Serdes.String(), Serdes.ByteArray())).groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
            .windowedBy(w).count(Materialized.with(Serdes.String(), Serdes.Long()))
            .toStream().map((k, v) -> KeyValue.pair(k.key() + "@" + k.window().start(), Long.toString(v)))
            .to(out, Produced.with(Serdes.String(), Serdes.String()));
      }
      default -> throw new IllegalArgumentException(app);
    }
    KafkaStreams ks = new KafkaStreams(b.build(), p);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> ks.close(Duration.ofSeconds(10))));
    ks.start();
    Thread.currentThread().join();
  }
  static Event parse(byte[] v) { try { return M.readValue(v, Event.class); } catch (Exception e) { throw new RuntimeException(e); } }
  static byte[] slim(Event e) {
    Slim s = new Slim(); s.id = e.id; s.user = e.user; s.price = e.price; s.ts = e.ts;
    try { return M.writeValueAsBytes(s); } catch (Exception x) { throw new RuntimeException(x); }
  }
}
