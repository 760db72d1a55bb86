/* The load: readers and publisher in one thread, fast enough not to be what is measured.
 *
 * It opens READERS event streams, publishes quotes over HTTP, and counts each complete event that comes back. A quote
 * carries its number as "last" and its time of publication (microseconds) as "ts"; so a number missing, doubled or out
 * of order is seen, and the way from publish to receipt is measured on one clock.
 *
 *   load host=127.0.0.1 port=8000 readers=1000 get='/v1/stream?symbols=S0' pub_port=8000 post=/v1/quotes
 *        headers='content-type: application/json' prefix='[' suffix=']' full=0 urlencode=0
 *        symbols=1 watch=0 batch=1 rate=0 window=2 seconds=5
 *
 * window: so many events under way at most, the next is published when all readers have one (saturation);
 * rate:   so many batches a second, whatever comes back.
 * watch:  so many of `symbols` in each reader's list (appended to `get`); 0 for none.
 * full:   publish whole quotes, for servers that pass on what they get.
 *
 * Prints "ready" when all readers have received a first event, waits for a line on standard input, works, prints JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CARRY = 16384, SCRATCH = 1 << 20, PIPELINE = 64, MOST_US = 4000000, MOST_BATCH = 4096, DRAIN_US = 5000000 };

typedef struct {
    int fd, head_seen, data_seen, carry_size;
    long number, last; /* of the event being read, and of the newest complete one */
    int64_t ts;
    long received;
    char *carry;
} Reader;

typedef struct {
    int fd, under_way, size;
    char answer[65536];
} Publisher;

static struct {
    const char *host, *get, *post, *headers, *prefix, *suffix;
    int port, pub_port, readers, full, urlencode, symbols, watch, batch, window;
    double rate, seconds;
} opt = {"127.0.0.1", "/", "/", "", "", "", 8000, 0, 1000, 0, 0, 1, 0, 1, 2, 0, 5};

static Reader *readers;
static Publisher publisher; /* one connection, pipelined: events reach the server in the order of their numbers */
static int epoll, *wanted_by; /* by symbol: how many readers */
static uint32_t *histogram;
static int *got; /* by event number: how many readers have it */
static long got_size, published, newest, complete, deliveries, lost, repeated, late, bytes, expected, *next_of;
static int measuring;
static int64_t last_receipt;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what, const char *detail) {
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(1);
}

static int dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, opt.host, &address.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("cannot connect", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void watch_fd(int fd, uint64_t tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll", strerror(errno));
}

static void open_readers(void) {
    char *request = malloc(65536);
    int *order = malloc(opt.symbols * sizeof *order);
    for (int s = 0; s < opt.symbols; s++) order[s] = s;
    srand(1);
    for (int i = 0; i < opt.readers; i++) {
        Reader *r = &readers[i];
        int n = sprintf(request, "GET %s", opt.get);
        for (int w = 0; w < opt.watch; w++) { /* a random sample: the first `watch` of a partial shuffle */
            int other = w + rand() % (opt.symbols - w), s = order[other];
            order[other] = order[w];
            order[w] = s;
            wanted_by[s]++;
            n += sprintf(request + n, "%sS%d", w ? "," : "", s);
        }
        n += sprintf(request + n, " HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n\r\n", opt.host, opt.port);
        r->fd = dial(opt.port);
        r->carry = malloc(CARRY);
        r->number = r->last = -1;
        if (write(r->fd, request, n) != n) die("cannot ask for a stream", strerror(errno));
        watch_fd(r->fd, i);
    }
    if (!opt.watch) wanted_by[0] = opt.readers;
    free(order);
    free(request);
}

static void have(Reader *r, int64_t now) {
    if (r->number < 0) return; /* a welcome, a ping */
    r->received++;
    if (!opt.watch) {
        if (r->last >= 0 && r->number > r->last + 1) lost += r->number - r->last - 1;
        if (r->number <= r->last) repeated++;
        r->last = r->number;
        if (r->number < got_size && ++got[r->number] == opt.readers) complete++;
    }
    if (measuring) {
        int64_t us = now - r->ts;
        deliveries++;
        histogram[us < 0 ? 0 : us >= MOST_US ? MOST_US - 1 : us]++;
        last_receipt = now;
    }
}

static void take_line(Reader *r, const char *line, long size, int64_t now) {
    if (size && line[size - 1] == '\r') size--;
    if (!size) {
        if (r->data_seen) have(r, now);
        r->data_seen = 0;
        r->number = -1;
    } else if (size > 5 && !memcmp(line, "data:", 5)) {
        const char *number = memmem(line, size, "\"last\":", 7), *ts = memmem(line, size, "\"ts\":", 5);
        r->data_seen = 1;
        if (number && ts) {
            r->number = strtol(number + 7, NULL, 10);
            r->ts = strtoll(ts + 5, NULL, 10);
        }
    } else if (!r->head_seen && size > 12 && !memcmp(line, "HTTP/1.1 ", 9)) {
        if (memcmp(line + 9, "200", 3)) die("a stream was refused", strndup(line, size));
        r->head_seen = 1;
    }
}

static void read_stream(Reader *r) {
    static char scratch[SCRATCH + CARRY];
    memcpy(scratch, r->carry, r->carry_size);
    long n = recv(r->fd, scratch + r->carry_size, SCRATCH, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) die("a stream ended", n ? strerror(errno) : "closed by the server");
    int64_t now = now_us();
    char *at = scratch, *end = scratch + r->carry_size + n, *line;
    if (measuring) bytes += n;
    while ((line = memchr(at, '\n', end - at))) {
        take_line(r, at, line - at, now);
        at = line + 1;
    }
    r->carry_size = end - at;
    if (r->carry_size > CARRY) die("a line is too long", "more than 16 KB");
    memcpy(r->carry, at, r->carry_size);
}

/* The size of the first complete answer; 0 while there is none. */
static long answer_size(const char *text, const char *end) {
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\ncontent-length:"), *last;
    if (!body) return 0;
    body += 4;
    if (length && length < body) {
        body += atol(length + 16);
        return body <= end ? body - text : 0;
    }
    length = strcasestr(text, "chunked");
    if (!length || length > body) return body - text;
    last = strstr(body - 2, "\r\n0\r\n\r\n");
    return last ? last + 7 - text : 0;
}

static void read_answer(Publisher *p) {
    long n = recv(p->fd, p->answer + p->size, sizeof p->answer - 1 - p->size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) die("publishing", n ? strerror(errno) : "closed by the server");
    p->size += n;
    p->answer[p->size] = 0;
    while ((n = answer_size(p->answer, p->answer + p->size))) {
        if (p->answer[9] != '2') die("publishing was refused", p->answer);
        memmove(p->answer, p->answer + n, p->size - n + 1);
        p->size -= n;
        p->under_way--;
    }
}

static int quote(char *to, int symbol, long number, int64_t ts) {
    if (opt.full)
        return sprintf(to,
                       "{\"symbol\":\"S%d\",\"last\":%ld,\"bid\":187.24,\"ask\":187.26,\"bid_size\":300,\"ask_size\":200,"
                       "\"volume\":1200345,\"turnover\":225000000.25,\"open\":186.1,\"high\":188.02,\"low\":185.9,"
                       "\"prev_close\":186.05,\"change\":1.2,\"change_rate\":0.645,\"vwap\":187.02,\"pe\":28.4,"
                       "\"market_cap\":2890000000000,\"ts\":%lld}",
                       symbol, number, (long long)ts);
    return sprintf(to,
                   "{\"symbol\":\"S%d\",\"last\":%ld,\"bid\":187.24,\"ask\":187.26,\"bid_size\":300,\"ask_size\":200,"
                   "\"size\":100,\"ts\":%lld}",
                   symbol, number, (long long)ts);
}

static int encoded(char *to, const char *from, int size) {
    char *start = to;
    for (int i = 0; i < size; i++)
        if (isalnum((unsigned char)from[i])) *to++ = from[i];
        else to += sprintf(to, "%%%02X", (unsigned char)from[i]);
    return to - start;
}

static int publish(int count, int in_turn) {
    static char body[MOST_BATCH * 512], escaped[MOST_BATCH * 512], head[4096];
    Publisher *p = &publisher;
    if (p->under_way >= PIPELINE) return 0;
    int64_t now = now_us();
    int size = sprintf(body, "%s", opt.prefix);
    for (int i = 0; i < count; i++) {
        int symbol = in_turn ? i : opt.symbols == 1 ? 0 : rand() % opt.symbols;
        if (i) body[size++] = ',';
        size += quote(body + size, symbol, opt.watch ? next_of[symbol]++ : newest, now);
        if (measuring) expected += wanted_by[symbol];
    }
    newest++;
    published += measuring ? count : 0;
    char *payload = body;
    if (opt.urlencode) {
        int fixed = strlen(opt.prefix);
        memcpy(escaped, body, fixed);
        size = fixed + encoded(escaped + fixed, body + fixed, size - fixed);
        payload = escaped;
    }
    size += sprintf(payload + size, "%s", opt.suffix);
    int n = sprintf(head, "POST %s HTTP/1.1\r\nHost: %s:%d\r\n%s%sContent-Length: %d\r\n\r\n", opt.post, opt.host,
                    opt.pub_port, opt.headers, *opt.headers ? "\r\n" : "", size);
    struct iovec {
        void *base;
        size_t size;
    } parts[2] = {{head, n}, {payload, size}};
    struct msghdr message = {.msg_iov = (void *)parts, .msg_iovlen = 2};
    long sent = sendmsg(p->fd, &message, 0);
    if (sent != n + size) die("publishing", "the socket took only a part");
    p->under_way++;
    return 1;
}

static void turn(int wait_ms) {
    static struct epoll_event events[2048];
    int count = epoll_wait(epoll, events, 2048, wait_ms);
    for (int i = 0; i < count; i++) {
        uint64_t tag = events[i].data.u64;
        if (tag < (uint64_t)opt.readers) read_stream(&readers[tag]);
        else read_answer(&publisher);
    }
}

static int all_have(long least) {
    for (int i = 0; i < opt.readers; i++)
        if (readers[i].received < least) return 0;
    return 1;
}

/* Publish until everybody has received something: from then on they are subscribed. */
static void warm_up(void) {
    long least = opt.watch ? opt.watch : 1;
    int64_t deadline = now_us() + 20000000, again = 0;
    while (!all_have(least)) {
        if (now_us() > deadline) die("warming up", "not all readers received the first events");
        if (now_us() > again && publish(opt.watch ? opt.symbols : 1, opt.watch)) again = now_us() + 500000;
        turn(10);
    }
    for (int64_t quiet = now_us() + 500000; now_us() < quiet;) turn(10);
    for (int i = 0; i < opt.readers; i++) {
        readers[i].received = 0;
        if (!opt.watch) readers[i].last = newest - 1;
    }
    got_size = 4000000;
    got = calloc(got_size, sizeof *got);
    lost = repeated = complete = 0;
}

static double percentile(double share) {
    long rank = deliveries * share, sum = 0;
    for (int us = 0; us < MOST_US; us++)
        if ((sum += histogram[us]) > rank) return us / 1000.0;
    return 0;
}

static void work(void) {
    int64_t start = now_us(), end = start + opt.seconds * 1e6, next = start, mark;
    long begun = newest, seen = -1;
    measuring = 1;
    while ((mark = now_us()) < end) {
        if (opt.rate > 0) {
            if (mark >= next) {
                if (publish(opt.batch, 0)) next += 1e6 / opt.rate;
                else late++;
            }
            turn(next - mark > 2000 ? 1 : 0);
        } else {
            while (newest - begun - complete < opt.window && publish(opt.batch, 0)) {}
            turn(100);
        }
    }
    for (int64_t since = now_us(); deliveries < expected && now_us() - since < DRAIN_US;) { /* drain, then stop the clock */
        turn(10);
        if (deliveries != seen) since = now_us();
        seen = deliveries;
    }
    double seconds = (last_receipt - start) / 1e6;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"published\":%ld,\"deliveries\":%ld,\"expected\":%ld,\"seconds\":%.4f,\"deliveries_per_s\":%.0f,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"lost\":%ld,\"repeated\":%ld,\"late\":%ld,\"bytes\":%ld}\n",
           published, deliveries, expected, seconds, deliveries / seconds, percentile(.5), percentile(.99),
           percentile(.999), opt.watch ? expected - deliveries : lost + (expected > deliveries + lost ? expected - deliveries - lost : 0),
           repeated, late, bytes);
}

static void read_options(int count, char **given) {
    for (int i = 1; i < count; i++) {
        char *value = strchr(given[i], '=');
        if (!value) die("expected name=value", given[i]);
        *value++ = 0;
#define TEXT(name) if (!strcmp(given[i], #name)) { opt.name = value; continue; }
#define NUMBER(name) if (!strcmp(given[i], #name)) { opt.name = atof(value); continue; }
        TEXT(host) TEXT(get) TEXT(post) TEXT(headers) TEXT(prefix) TEXT(suffix)
        NUMBER(port) NUMBER(pub_port) NUMBER(readers) NUMBER(full) NUMBER(urlencode) NUMBER(symbols) NUMBER(watch)
        NUMBER(batch) NUMBER(rate) NUMBER(window) NUMBER(seconds)
        die("unknown option", given[i]);
    }
    if (!opt.pub_port) opt.pub_port = opt.port;
    if (opt.batch > MOST_BATCH || opt.symbols > MOST_BATCH) die("too many", "batch and symbols are at most 4096");
}

int main(int count, char **given) {
    struct rlimit files;
    char line[16];
    read_options(count, given);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    readers = calloc(opt.readers, sizeof *readers);
    wanted_by = calloc(opt.symbols, sizeof *wanted_by);
    next_of = calloc(opt.symbols, sizeof *next_of);
    histogram = calloc(MOST_US, sizeof *histogram);
    epoll = epoll_create1(0);
    open_readers();
    watch_fd(publisher.fd = dial(opt.pub_port), opt.readers);
    warm_up();
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    work();
    return 0;
}
