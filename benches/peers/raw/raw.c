// The limit of the machine with librdkafka alone: the best that any engine on it can reach.
//   raw consume BOOTSTRAP TOPIC PARTITIONS                          reads all of a topic
//   raw copy    BOOTSTRAP IN PARTITIONS OUT COMMIT_MS KEEP_PERCENT  reads, keeps a part, writes that part and the offsets in transactions
// Prints one JSON line. No parsing, no group: partitions are assigned by hand.
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 10000, MAX_PARTITIONS = 64 };
static const char *bootstrap;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_seconds(const struct rusage *r) {
  return r->ru_utime.tv_sec + r->ru_stime.tv_sec + (r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void must(rd_kafka_error_t *error, const char *what) {
  if (error) fail(what, rd_kafka_error_string(error));
}

// `settings` is a list of name, value, ..., NULL.
static rd_kafka_t *client(rd_kafka_type_t type, const char **settings) {
  char why[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why);
  for (; *settings; settings += 2)
    if (rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof why)) fail(settings[0], why);
  rd_kafka_t *made = rd_kafka_new(type, conf, why, sizeof why);
  if (!made) fail("client", why);
  return made;
}

static rd_kafka_t *consumer(const char *group) {
  const char *settings[] = {"group.id", group, "enable.auto.commit", "false", "enable.auto.offset.store", "false",
    "isolation.level", "read_committed", "check.crcs", "true", "enable.partition.eof", "true",
    "fetch.queue.backoff.ms", "10", "fetch.wait.max.ms", "20", "max.partition.fetch.bytes", "8388608",
    "fetch.max.bytes", "67108864", "queued.max.messages.kbytes", "65536", "queued.min.messages", "200000", NULL};
  return client(RD_KAFKA_CONSUMER, settings);
}

static rd_kafka_t *producer(const char *id) {
  const char *settings[] = {"transactional.id", id, "linger.ms", "5", "batch.size", "1000000", "batch.num.messages", "20000",
    "queue.buffering.max.messages", "2000000", "queue.buffering.max.kbytes", "1048576", "retry.backoff.ms", "1", NULL};
  return client(RD_KAFKA_PRODUCER, settings);
}

typedef struct {
  rd_kafka_t *producer;
  rd_kafka_topic_t *topic;
  rd_kafka_consumer_group_metadata_t *group;
  const char *in;
  long long next[MAX_PARTITIONS], sent, commits;
  double every, last;
} copy_t;

static void commit(copy_t *c, int partitions) {
  rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; i++)
    if (c->next[i] >= 0) rd_kafka_topic_partition_list_add(offsets, c->in, i)->offset = c->next[i];
  rd_kafka_flush(c->producer, 60000);
  must(rd_kafka_send_offsets_to_transaction(c->producer, offsets, c->group, 10000), "offsets");
  must(rd_kafka_commit_transaction(c->producer, 30000), "commit");
  rd_kafka_topic_partition_list_destroy(offsets);
  c->commits++;
  c->last = now();
}

static void pass_on(copy_t *c, const rd_kafka_message_t *m) {
  while (rd_kafka_produce(c->topic, m->partition, RD_KAFKA_MSG_F_COPY, m->payload, m->len, m->key, m->key_len, NULL))
    rd_kafka_poll(c->producer, 10);
  c->sent++;
}

int main(int argc, char **argv) {
  if (argc < 5 || (!strcmp(argv[1], "copy") && argc < 8)) fail(argv[0], "see the head of raw.c");
  double start = now(), first = 0;
  bootstrap = argv[2];
  int copying = !strcmp(argv[1], "copy"), partitions = atoi(argv[4]), keep = 100, ended = 0;
  char name[64];
  snprintf(name, sizeof name, "bench-raw-%ld", (long)time(NULL));

  rd_kafka_t *from = consumer(name);
  rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; i++) rd_kafka_topic_partition_list_add(all, argv[3], i)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_poll_set_consumer(from);
  rd_kafka_assign(from, all);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(from);

  copy_t c = {.in = argv[3], .last = start};
  for (int i = 0; i < MAX_PARTITIONS; i++) c.next[i] = -1;
  if (copying) {
    c.every = atof(argv[6]) / 1000;
    keep = atoi(argv[7]);
    c.producer = producer(name);
    must(rd_kafka_init_transactions(c.producer, 30000), "init");
    must(rd_kafka_begin_transaction(c.producer), "begin");
    c.topic = rd_kafka_topic_new(c.producer, argv[5], NULL);
    c.group = rd_kafka_consumer_group_metadata_new(name);
  }

  static rd_kafka_message_t *m[BATCH];
  long long count = 0;
  while (ended < partitions) {
    ssize_t got = rd_kafka_consume_batch_queue(queue, 100, m, BATCH);
    for (ssize_t i = 0; i < got; i++) {
      if (m[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) ended++;
      else if (m[i]->err) fprintf(stderr, "%s\n", rd_kafka_message_errstr(m[i]));
      else {
        if (!first) first = now();
        count++;
        if (copying) {
          c.next[m[i]->partition] = m[i]->offset + 1;
          if (count % 100 < keep) pass_on(&c, m[i]);
        }
      }
      rd_kafka_message_destroy(m[i]);
    }
    if (!copying) continue;
    rd_kafka_poll(c.producer, 0);
    if (now() - c.last > c.every || ended == partitions) {
      commit(&c, partitions);
      if (ended < partitions) must(rd_kafka_begin_transaction(c.producer), "begin");
    }
  }

  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double end = now();
  printf("{\"records\":%lld,\"seconds\":%.2f,\"overall\":%.0f,\"steady\":%.0f,\"cpu_s\":%.2f,\"rss_mb\":%ld,\"sent\":%lld,\"commits\":%lld}\n",
         count, end - start, count / (end - start), count / (end - first), cpu_seconds(&usage), usage.ru_maxrss / 1024, c.sent, c.commits);
  return 0;
}
