/* The load generator: readers and a publisher in one thread, fast enough that the server is the bottleneck.
 *
 * The program opens `readers` event streams, publishes quotes over HTTP, and counts each complete event that arrives.
 * The field "last" of a quote contains the number of the quote, and "ts" contains its publish time in microseconds. The
 * numbers show whether an event is missing, repeated or out of order. One clock measures the time from publish to
 * receipt.
 *
 *   load host=127.0.0.1 port=8000 readers=1000 get='/v1/stream?symbols=S0' pub_port=8000 post=/v1/quotes
 *        headers='content-type: application/json' prefix='[' suffix=']' full=0 urlencode=0
 *        symbols=1 watch=0 batch=1 rate=0 window=2 seconds=5 fill=0 encoding= conflated=0 stalled=0 behind=0 missed=0
 *
 * window:    the number of events in flight. When all readers have received an event, the program publishes another.
 * rate:      the number of batches per second, independent of the readers. With 0, `window` controls publishing.
 * watch:     the number of symbols in each reader's list, which is appended to `get`; 0 for no list.
 * full:      publish all fields of a quote, for servers that forward the body.
 * fill:      the duration of the same work before the measurement, in seconds.
 * encoding:  the Accept-Encoding of all readers; the load generator decodes the streams.
 * conflated: the server may omit events, except the newest of each symbol.
 * stalled:   the number of additional readers that request `stalled_get` (default: `get`) and never read.
 * behind:    measure reconnects instead: all readers reconnect at once with the id of the event that is this number of
 *            events older than the newest.
 * missed:    the number of events that each reader then receives (default: `behind`). The number is lower if the server
 *            sends only the newest event of each symbol.
 *
 * The program prints "opened" when all readers are connected (not with `behind`), and waits for a line on standard
 * input. It prints "ready" when all readers have received a first event (with `behind`: when the history is published),
 * and waits for another line. Then it publishes, prints JSON, and waits for the end of standard input. Until then, all
 * connections stay open.
 *
 * The figure "received" counts all events since "ready", including events before and after the measurement. The CPU
 * time of the server covers the same period.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SECOND = 1000000,
    QUIET_US = SECOND,         /* with `conflated`, no further event arrives after this silence */
    PATIENCE_US = 5 * SECOND,  /* without `conflated`, no further event arrives after this silence */
    LONGEST_S = 120,           /* the time limit for connecting, warming up and draining, in addition to the work */
    LONGEST_DRAIN = 15 * SECOND,
    SMALL_WINDOW = 2048,       /* the receive buffer of a stalled reader, in bytes */
    ETHERNET = 1448,           /* the bytes per segment; with segments of 64 KB, the kernel would buffer megabytes */
};

Options opt = {"127.0.0.1", "/", "/", "", "", "", "", "", 8000, 0, 1000, 0, 0, 1, 0, 1, 2, 0, 0, 0, 0, 0, 5, 0};
Reader *readers;
Counts counts;
Published published;
static int epoll;
static int64_t started;

int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec / 1000;
}

void die(const char *what, const char *detail) {
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(1);
}

int dial(int port, int stalled) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, window = SMALL_WINDOW, segment = ETHERNET, fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, opt.host, &address.sin_addr);
    if (stalled) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
        setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("cannot connect", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void watch_fd(int fd, uint64_t tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll", strerror(errno));
}

void turn(int wait_ms) {
    static struct epoll_event events[2048];
    int count = epoll_wait(epoll, events, 2048, wait_ms);
    for (int i = 0; i < count; i++) {
        uint64_t tag = events[i].data.u64;
        if (tag < (uint64_t)opt.readers) read_stream(&readers[tag]);
        else read_answer();
    }
}

static void turn_for(int64_t us) {
    for (int64_t end = now_us() + us; now_us() < end;) turn(10);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double percentile(const uint32_t *histogram, double share) {
    long all = 0, sum = 0;
    for (int us = 0; us < MOST_US; us++) all += histogram[us];
    for (int us = 0; us < MOST_US; us++)
        if ((sum += histogram[us]) > all * share) return us / 1000.0;
    return 0;
}

/* Publish until every reader has received an event. Then every reader is subscribed. */
static void warm_up(void) {
    long least = opt.watch ? opt.watch : 1;
    int64_t deadline = now_us() + 30 * SECOND, again = 0;
    while (!all_have(least)) {
        if (now_us() > deadline) die("warming up", "not all readers received the first events");
        if (now_us() > again && publish(opt.watch ? opt.symbols : 1, 1)) again = now_us() + SECOND;
        turn(10);
    }
    turn_for(SECOND / 2);
    start_anew();
}

static void drain(void) {
    int64_t patience = opt.conflated ? QUIET_US : PATIENCE_US, since = now_us(), end = since + LONGEST_DRAIN;
    for (long seen = -1; counts.deliveries < published.expected && now_us() - since < patience && now_us() < end;) {
        turn(10);
        if (counts.deliveries != seen) since = now_us();
        seen = counts.deliveries;
    }
}

static void begin_measuring(void) {
    published.count = counts.bytes = 0;
    counts.begun_at = now_us();
    counts.measuring = 1;
}

static long received(void) {
    long sum = 0;
    for (int i = 0; i < opt.readers; i++) sum += readers[i].received;
    return sum;
}

static void work(void) {
    int64_t from = now_us() + opt.fill * SECOND, end = from + opt.seconds * SECOND, next = now_us(), mark;
    long begun = published.newest, before = received();
    int64_t begun_at = now_us();
    double cpu = cpu_seconds();
    while ((mark = now_us()) < end) {
        if (mark >= from && !counts.measuring) begin_measuring();
        if (opt.rate > 0) {
            if (mark >= next) {
                if (publish(opt.batch, 0)) next += SECOND / opt.rate;
                else published.late++;
            }
            turn(next - mark > 2000 ? 1 : 0);
        } else {
            /* A server may send two waiting events in one write. So publish the second event only after the answer to
             * the first. */
            long in_transit = published.newest - begun - counts.complete;
            if (in_transit < opt.window && (!in_transit || all_answered())) publish(opt.batch, 0);
            turn(100);
        }
    }
    if (opt.conflated) counts.measuring = 0; /* the last values arrive late, after their interval */
    drain();                                 /* the drain still belongs to the measured time */
    double seconds = (counts.last_receipt - counts.begun_at) / 1e6, whole = (counts.last_receipt - begun_at) / 1e6;
    long missing = published.expected - counts.deliveries;
    if (opt.conflated) missing = not_newest();
    else if (!opt.watch) missing = counts.lost + (missing > counts.lost ? missing - counts.lost : 0);
    printf("{\"published\":%ld,\"received\":%ld,\"deliveries\":%ld,\"expected\":%ld,\"seconds\":%.4f,"
           "\"deliveries_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"lost\":%ld,\"repeated\":%ld,\"late\":%ld,\"bytes\":%ld,"
           "\"opened_s\":%.3f,\"first_s\":%.3f,\"decoded\":%d,\"working_s\":%.4f,\"load_cpu\":%.3f",
           published.count, received() - before, counts.deliveries, published.expected, seconds,
           counts.deliveries / seconds, percentile(counts.ages, .5), percentile(counts.ages, .99), percentile(counts.ages, .999), missing,
           counts.repeated, published.late, counts.bytes, (counts.opened_at - started) / 1e6,
           (counts.first_at - started) / 1e6, counts.decoded, whole, (cpu_seconds() - cpu) / whole);
    if (opt.conflated)
        printf(",\"spacing_p50_ms\":%.3f,\"spacing_p99_ms\":%.3f", percentile(counts.spacings, .5),
               percentile(counts.spacings, .99));
    printf("}\n");
}

/* Publish the events that the readers request later. Return the header with the id of the event before these events. */
static const char *make_history(void) {
    static char header[512];
    int64_t deadline = now_us() + 60 * SECOND;
    open_readers(0, 1, "");
    while (!readers->received) {
        if (!publish(1, 1) || now_us() > deadline) die("history", "the first reader gets no event");
        turn_for(SECOND / 5);
    }
    snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", newest_id() + 3 + strspn(newest_id() + 3, " "));
    long last = published.newest - 1 + opt.behind;
    while (readers->last < last) {
        long rest = last + 1 - published.newest, piece = rest < opt.batch ? rest : opt.batch;
        if (now_us() > deadline) die("history", "the first reader does not receive all events");
        if (rest) publish(piece, 1);
        turn(rest ? 0 : 10);
    }
    hang_up(readers);
    turn_for(SECOND / 5);
    return header;
}

static int by_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, int64_t (*of)(const Reader *)) {
    int64_t *times = malloc(opt.readers * sizeof *times);
    for (int i = 0; i < opt.readers; i++) times[i] = of(&readers[i]) - started;
    qsort(times, opt.readers, sizeof *times, by_time);
    printf(",\"%s_p50_ms\":%.1f,\"%s_p99_ms\":%.1f", name, times[opt.readers / 2] / 1e3, name,
           times[opt.readers * 99L / 100] / 1e3);
    free(times);
}

static int64_t first_of(const Reader *r) {
    return r->first_at;
}

static int64_t caught_of(const Reader *r) {
    return r->caught_at;
}

/* Reconnect all readers at once. Then publish another event, to check that the readers receive live events. */
static void come_back(const char *header) {
    long last = published.newest - 1, each = opt.missed, missed, lost = 0;
    int64_t since;
    started = now_us();
    counts = (Counts){.ages = counts.ages, .spacings = counts.spacings, .measuring = 1, .begun_at = started};
    double cpu = cpu_seconds();
    expect_numbers(last - each + 1, last);
    open_readers(0, opt.readers, header);
    since = now_us();
    for (long seen = -1; counts.caught < opt.readers && now_us() - since < PATIENCE_US;) {
        turn(10);
        if (counts.bytes != seen) since = now_us();
        seen = counts.bytes;
    }
    int64_t end = now_us();
    cpu = cpu_seconds() - cpu;
    missed = received();
    publish(1, 1);
    while (!all_have(each + 1) && now_us() - end < PATIENCE_US) turn(10);
    for (int i = 0; i < opt.readers; i++) lost += each + 1 > readers[i].received ? each + 1 - readers[i].received : 0;
    double seconds = (end - started) / 1e6;
    printf("{\"received\":%ld,\"deliveries\":%ld,\"expected\":%ld,\"seconds\":%.4f,\"deliveries_per_s\":%.0f,"
           "\"opened_s\":%.3f,\"caught_up\":%d,\"lost\":%ld,\"repeated\":%ld,\"bytes\":%ld,\"working_s\":%.4f,\"load_cpu\":%.3f",
           received(), missed, each * opt.readers, seconds, missed / seconds, (counts.opened_at - started) / 1e6,
           counts.caught, lost, counts.repeated, counts.bytes, seconds, cpu / seconds);
    print_times("first", first_of);
    print_times("caught", caught_of);
    printf("}\n");
}

static void read_options(int count, char **given) {
    for (int i = 1; i < count; i++) {
        char *value = strchr(given[i], '=');
        if (!value) die("expected name=value", given[i]);
        *value++ = 0;
#define TEXT(name) if (!strcmp(given[i], #name)) { opt.name = value; continue; }
#define NUMBER(name) if (!strcmp(given[i], #name)) { opt.name = atof(value); continue; }
        TEXT(host) TEXT(get) TEXT(post) TEXT(headers) TEXT(prefix) TEXT(suffix) TEXT(encoding) TEXT(stalled_get)
        NUMBER(port) NUMBER(pub_port) NUMBER(readers) NUMBER(full) NUMBER(urlencode) NUMBER(symbols) NUMBER(watch)
        NUMBER(batch) NUMBER(rate) NUMBER(window) NUMBER(seconds) NUMBER(fill) NUMBER(stalled) NUMBER(conflated)
        NUMBER(behind) NUMBER(missed)
        die("unknown option", given[i]);
    }
    if (!opt.missed) opt.missed = opt.behind;
    if (!opt.pub_port) opt.pub_port = opt.port;
    if (opt.batch > MOST_BATCH || opt.symbols > MOST_BATCH) die("too many", "batch and symbols are at most 4096");
}

static void prepare(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    srand(1);
    alarm(opt.seconds + opt.fill + LONGEST_S); /* exit without figures if anything hangs */
    published.wanted_by = calloc(opt.symbols, sizeof *published.wanted_by);
    published.next_of = calloc(opt.symbols, sizeof *published.next_of);
    counts.ages = calloc(MOST_US, sizeof *counts.ages);
    counts.spacings = calloc(MOST_US, sizeof *counts.spacings);
    epoll = epoll_create1(0);
    make_readers();
    make_publisher();
}

/* Print a line, and wait for a line on standard input. */
static void say(const char *state) {
    char line[16];
    printf("%s\n", state);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(1);
}

int main(int count, char **given) {
    read_options(count, given);
    prepare();
    if (opt.behind) {
        const char *header = make_history();
        say("ready");
        come_back(header);
    } else {
        publish(opt.symbols, 1); /* the snapshot of each reader then contains quotes */
        turn_for(SECOND / 20);
        started = now_us();
        open_readers(0, opt.readers, "");
        say("opened");
        open_stalled();
        warm_up();
        say("ready");
        work();
    }
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
