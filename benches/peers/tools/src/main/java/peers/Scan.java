package peers;

import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * mode=drain    consumption rate of a topic with the plain Java consumer
 * mode=verify   output of a run against the oracle (what=w0|w1|w2|w3t|w3h)
 * mode=latency  tails a topic for sec=.. and prints percentiles of (now - input create time)
 */
public final class Scan {
  static Map<String, String> o;
  static KafkaConsumer<byte[], byte[]> consumer(boolean big) {
    Properties p = new Properties();
    p.put("bootstrap.servers", o.get("bootstrap"));
    p.put("isolation.level", o.getOrDefault("isolation", "read_committed"));
    p.put("enable.auto.commit", "false"); p.put("max.poll.records", "5000");
    if (big) { p.put("fetch.max.bytes", "67108864"); p.put("max.partition.fetch.bytes", "8388608"); p.put("fetch.min.bytes", "1"); }
    return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }
  interface Sink { void on(ConsumerRecord<byte[], byte[]> r); }
  static long scan(String topic, Sink s) {
    try (KafkaConsumer<byte[], byte[]> c = consumer(true)) {
      List<TopicPartition> tps = new ArrayList<>();
      for (PartitionInfo pi : c.partitionsFor(topic)) tps.add(new TopicPartition(topic, pi.partition()));
      c.assign(tps); c.seekToBeginning(tps);
      Map<TopicPartition, Long> end = c.endOffsets(tps);
      Set<TopicPartition> left = new HashSet<>(tps);
      long n = 0;
      while (true) {
        left.removeIf(tp -> c.position(tp) >= end.get(tp));
        if (left.isEmpty()) return n;
        for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(200))) { n++; s.on(r); }
      }
    }
  }
  public static void main(String[] a) throws Exception {
    o = Opt.parse(a);
    String topic = o.get("topic");
    switch (o.get("mode")) {
      case "drain" -> {
        long t0 = System.nanoTime(); long[] b = new long[1];
        long n = scan(topic, r -> b[0] += r.serializedValueSize());
        double sec = (System.nanoTime() - t0) / 1e9;
        System.out.printf("{\"drain\":\"%s\",\"n\":%d,\"sec\":%.2f,\"rec_s\":%.0f,\"mb_s\":%.1f}%n", topic, n, sec, n / sec, b[0] / 1e6 / sec);
      }
      case "verify" -> verify(topic);
      case "latency" -> latency(topic);
      default -> throw new IllegalArgumentException();
    }
  }

  /** Open-addressed map of byte[] keys to longs (max kept). */
  static void verify(String topic) {
    String what = o.get("what");
    long n = Long.parseLong(o.get("n")), seed = Long.parseLong(o.getOrDefault("seed", "1"));
    int vocab = Integer.parseInt(o.getOrDefault("vocab", "100000")); double s = Double.parseDouble(o.getOrDefault("zipf", "1.0"));
    Data.Zipf z = new Data.Zipf(vocab, s);
    long bad = 0, missing = 0, dup = 0, recs;
    String detail = "";
    if (what.equals("w1")) { // each id above the price once
      BitSet want = new BitSet((int) n), got = new BitSet((int) n);
      for (long i = 0; i < n; i++) if (Data.price(seed, i) > Data.W1_MIN_PRICE) want.set((int) i);
      long[] d = new long[2];
      recs = scan(topic, r -> { int id = (int) (num(r.value(), find(r.value(), "\"id\":")) - 1_000_000_000L); if (got.get(id)) d[0]++; else got.set(id); if (!want.get(id)) d[1]++; });
      dup = d[0]; bad = d[1]; want.andNot(got); missing = want.cardinality();
    } else if (what.equals("w0")) { // how often each word occurs in each line, as JSON: all of them together
      long[] want = new long[vocab], got = new long[vocab];
      for (long i = 0; i < n; i++) for (int w = 0; w < Data.WORDS_PER_LINE; w++) want[Data.wordRank(z, seed, i, w)]++;
      recs = scan(topic, r -> {
        byte[] v = r.value();
        for (int i = 0; i < v.length; i++) {
          if (v[i] != '"') continue;
          int end = i + 1; while (v[end] != '"') end++;
          got[rank(v, i + 1)] += num(v, end + 2); i = end;
        } });
      for (int i = 0; i < vocab; i++) { if (want[i] > 0 && got[i] == 0) missing++; else if (want[i] != got[i]) bad++; }
      dup = recs - n;
    } else if (what.equals("w2")) { // last count of each word
      int[] want = new int[vocab];
      for (long i = 0; i < n; i++) for (int w = 0; w < Data.WORDS_PER_LINE; w++) want[Data.wordRank(z, seed, i, w)]++;
      long[] last = new long[vocab]; long[] back = new long[1];
      recs = scan(topic, r -> {
        int rank = rank(r.key(), 0);
        long v = num(r.value(), r.value()[0] == '{' ? find(r.value(), "\"n\":") : 0); if (v <= last[rank]) back[0]++; last[rank] = v; });
      dup = back[0]; // a count that does not go up: a repeated or re-computed update
      long max = 0;
      for (int i = 0; i < vocab; i++) { if (want[i] > 0 && last[i] == 0) missing++; else if (want[i] != last[i]) bad++; max = Math.max(max, last[i]); }
      detail = ",\"top\":" + max;
    } else { // w3t / w3h: last count of each (user, window start); output key "user@start"
      boolean hop = what.equals("w3h");
      Map<Long, Integer> want = new HashMap<>(1 << 22), last = new HashMap<>(1 << 22);
      for (long i = 0; i < n; i++) {
        long u = Data.user(z, seed, i), w = Data.ts(seed, i) / 10_000;
        want.merge(w << 20 | u, 1, Integer::sum);
        if (hop) { want.merge((w - 1) << 20 | u, 1, Integer::sum); want.merge((w - 2) << 20 | u, 1, Integer::sum); }
      }
      long[] back = new long[1];
      recs = scan(topic, r -> {
        byte[] k = r.key(); long u = num(k, 1) - 100000; int at = 0; while (k[at] != '@') at++;
        long w = num(k, at + 1) / 10_000; int v = (int) num(r.value(), 0);
        Integer old = last.put(w << 20 | u, v); if (old != null && old >= v) back[0]++; });
      dup = back[0];
      long maxW = 0; for (long k : want.keySet()) maxW = Math.max(maxW, k >> 20);
      long tail = Long.parseLong(o.getOrDefault("tail", "0")); // skip the last windows (not yet closed by a watermark)
      for (var e : want.entrySet()) { if ((e.getKey() >> 20) > maxW - tail) continue; Integer g = last.get(e.getKey()); if (g == null) missing++; else if (!g.equals(e.getValue())) bad++; }
      detail = ",\"windows\":" + want.size() + ",\"got\":" + last.size();
    }
    System.out.printf("{\"verify\":\"%s\",\"topic\":\"%s\",\"records\":%d,\"missing\":%d,\"wrong\":%d,\"repeated\":%d%s,\"ok\":%b}%n",
        what, topic, recs, missing, bad, dup, detail, missing == 0 && bad == 0);
  }
  /** Of the word that begins there. */
  static int rank(byte[] word, int at) { int rank = 0; for (int i = 4; i >= 0; i--) rank = rank * 26 + (word[at + i] - 'a'); return rank; }
  static int find(byte[] v, String k) {
    outer: for (int i = 0; i + k.length() <= v.length; i++) { for (int j = 0; j < k.length(); j++) if (v[i + j] != k.charAt(j)) continue outer; return i + k.length(); }
    return -1;
  }
  static long num(byte[] v, int i) { while (v[i] == ' ') i++; long x = 0; for (; i < v.length && v[i] >= '0' && v[i] <= '9'; i++) x = x * 10 + v[i] - '0'; return x; }

  /** by=payload: "ts": in the value; by=mark: in the key, t<milliseconds>; other keys are ignored. skip=seconds of warm-up to ignore. */
  static void latency(String topic) {
    long sec = Long.parseLong(o.getOrDefault("sec", "60")), skip = Long.parseLong(o.getOrDefault("skip", "15"));
    boolean payload = o.getOrDefault("by", "payload").equals("payload");
    int[] h = new int[120_001], ha = new int[120_001]; long[] c = new long[1]; 
    try (KafkaConsumer<byte[], byte[]> k = consumer(false)) {
      List<TopicPartition> tps = new ArrayList<>();
      for (PartitionInfo pi : k.partitionsFor(topic)) tps.add(new TopicPartition(topic, pi.partition()));
      k.assign(tps); k.seekToEnd(tps);
      long first = 0, end = System.currentTimeMillis() + (sec + 40) * 1000;
      while (System.currentTimeMillis() < end) {
        var rs = k.poll(Duration.ofMillis(50)); long now = System.currentTimeMillis();
        for (var r : rs) {
          if (first == 0) { first = now; end = now + sec * 1000; }
          if (now - first < skip * 1000) continue;
          if (!payload && !(r.key()[0] == 't' && r.key()[1] >= '0' && r.key()[1] <= '9')) continue;
          long in = payload ? num(r.value(), find(r.value(), "\"ts\":")) : num(r.key(), 1);
          int d = (int) Math.max(0, Math.min(120_000, now - in)); h[d]++; c[0]++;
          if (payload) ha[(int) Math.max(0, Math.min(120_000, r.timestamp() - in))]++;
        }
      }
    }
    System.out.printf("{\"latency\":\"%s\",\"n\":%d,\"visible_ms\":%s,\"append_ms\":%s}%n", topic, c[0], pct(h, c[0]), payload ? pct(ha, c[0]) : "null");
  }
  static String pct(int[] h, long n) {
    StringBuilder b = new StringBuilder("{"); double[] q = {0.5, 0.9, 0.99, 0.999, 1}; String[] nm = {"p50", "p90", "p99", "p999", "max"};
    long acc = 0; int j = 0;
    for (int i = 0; i < h.length && j < q.length; i++) { acc += h[i]; while (j < q.length && acc >= Math.ceil(q[j] * n) && acc > 0) { b.append(j > 0 ? "," : "").append('"').append(nm[j]).append("\":").append(i); j++; } }
    return b.append('}').toString();
  }
}
