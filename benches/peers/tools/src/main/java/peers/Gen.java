package peers;

import java.util.*;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Load generator. See README.md for the options. */
public final class Gen {
  public static void main(String[] a) throws Exception {
    Map<String, String> o = Opt.parse(a);
    String kind = o.get("kind"), topic = o.get("topic");
    long n = Long.parseLong(o.getOrDefault("n", "1000000")), seed = Long.parseLong(o.getOrDefault("seed", "1"));
    long from = Long.parseLong(o.getOrDefault("from", "0"));    // index of the first record
    int vocab = Integer.parseInt(o.getOrDefault("vocab", "100000")), parts = Integer.parseInt(o.getOrDefault("partitions", "4"));
    double s = Double.parseDouble(o.getOrDefault("zipf", "1.0"));
    long rate = Long.parseLong(o.getOrDefault("rate", "0"));  // records/s; 0: as fast as possible
    boolean mark = o.containsKey("mark");                      // each line ends in a word that says when it was created: t<milliseconds>
    boolean now = rate > 0;                                     // paced runs stamp the wall clock
    Properties p = new Properties();
    p.put("bootstrap.servers", o.get("bootstrap"));
    p.put("acks", "all"); p.put("linger.ms", now ? "2" : "20"); p.put("batch.size", now ? "65536" : "524288");
    p.put("buffer.memory", "134217728"); p.put("compression.type", o.getOrDefault("compression", "none"));
    if (o.containsKey("txn")) p.put("transactional.id", "gen-" + topic);
    long txnEvery = Long.parseLong(o.getOrDefault("txn", "0"));   // ms between commits
    Data.Zipf z = new Data.Zipf(vocab, s);
    byte[][] words = kind.equals("lines") ? Data.words(vocab) : null;
    byte[][] keys = kind.equals("events") ? new byte[vocab][] : null; int[] kpart = new int[vocab];
    if (keys != null) for (int i = 0; i < vocab; i++) { keys[i] = Data.userKey(i); kpart[i] = Utils.toPositive(Utils.murmur2(keys[i])) % parts; }
    byte[] buf = new byte[4096];
    try (KafkaProducer<byte[], byte[]> pr = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
      if (txnEvery > 0) { pr.initTransactions(); pr.beginTransaction(); }
      long t0 = System.nanoTime(), bytes = 0, lastTxn = t0;
      for (long i = from; i < from + n; i++) {
        long ts;
        if (now) {
          long due = t0 + (long) ((i - from) * 1e9 / rate), d;
          // Never spins: on two cores that would take one of them from the broker and from what is measured.
          while ((d = due - System.nanoTime()) > 0) LockSupport.parkNanos(Math.max(d, 1_000_000));
          ts = System.currentTimeMillis();
        } else ts = Data.ts(seed, i);
        byte[] v, k = null; int part;
        if (keys != null) {
          int u = Data.user(z, seed, i);
          v = Data.event(i, u, Data.item(seed, i), Data.price(seed, i), ts); k = keys[u]; part = kpart[u];
        } else {
          int len = 0;
          for (int w = 0; w < Data.WORDS_PER_LINE; w++) {
            byte[] x = words[Data.wordRank(z, seed, i, w)];
            if (w > 0) buf[len++] = ' ';
            System.arraycopy(x, 0, buf, len, x.length); len += x.length;
          }
          if (mark) for (byte x : (" t" + ts).getBytes()) buf[len++] = x;
          v = Arrays.copyOf(buf, len); part = (int) (i % parts);
        }
        bytes += v.length;
        pr.send(new ProducerRecord<>(topic, part, ts, k, v));
        if (txnEvery > 0 && (i & 1023) == 0 && System.nanoTime() - lastTxn > txnEvery * 1_000_000) {
          pr.commitTransaction(); pr.beginTransaction(); lastTxn = System.nanoTime();
        }
      }
      if (txnEvery > 0) pr.commitTransaction(); else pr.flush();
      double sec = (System.nanoTime() - t0) / 1e9;
      System.out.printf("{\"gen\":\"%s\",\"topic\":\"%s\",\"n\":%d,\"sec\":%.2f,\"rec_s\":%.0f,\"mb_s\":%.1f,\"avg_bytes\":%.1f}%n",
          kind, topic, n, sec, n / sec, bytes / 1e6 / sec, (double) bytes / n);
    }
  }
}
