/* The readers: they parse the bytes of a connection into complete events in one pass. */
#include "load.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRATCH = 1 << 20, OPENING = 512 /* concurrent connects, limited by the backlog */, MOST_EVENTS = 4000000 };

static int *got;   /* for each event number: the number of readers that have received the event */
static long *seen; /* for each reader and symbol, with `conflated`: the newest number, UNASKED or UNSEEN */
static int64_t *seen_at;
static long upto = -1;               /* the last number of a catch-up */
static char id[256];                /* the newest id line of reader 0 */

enum { UNASKED = -2, UNSEEN = -1 };

void make_readers(void) {
    long pairs = (long)opt.readers * opt.symbols;
    readers = calloc(opt.readers, sizeof *readers);
    got = calloc(MOST_EVENTS, sizeof *got);
    for (int i = 0; i < opt.readers; i++) readers[i].number = readers[i].last = -1;
    if (!opt.conflated) return;
    seen = malloc(pairs * sizeof *seen);
    seen_at = calloc(pairs, sizeof *seen_at);
    for (long pair = 0; pair < pairs; pair++) seen[pair] = opt.watch ? UNASKED : UNSEEN;
}

/* Build the request of one reader, with `watch` symbols from a partial shuffle. */
static int request(char *to, int reader, int *order, const char *header) {
    int n = sprintf(to, "GET %s", opt.get);
    for (int w = 0; w < opt.watch; w++) {
        int other = w + rand() % (opt.symbols - w), s = order[other];
        order[other] = order[w];
        order[w] = s;
        published.wanted_by[s]++;
        if (opt.conflated) seen[(long)reader * opt.symbols + s] = UNSEEN;
        n += sprintf(to + n, "%sS%d", w ? "," : "", s);
    }
    n += sprintf(to + n, " HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n%s", opt.host, opt.port, header);
    if (*opt.encoding) n += sprintf(to + n, "Accept-Encoding: %s\r\n", opt.encoding);
    return n + sprintf(to + n, "\r\n");
}

void open_readers(int from, int to, const char *header) {
    char *text = malloc(65536);
    int *order = malloc(opt.symbols * sizeof *order);
    for (int s = 0; s < opt.symbols; s++) order[s] = s;
    for (int i = from; i < to; i++) {
        Reader *r = &readers[i];
        int n = request(text, i, order, header);
        r->opened = now_us();
        r->fd = dial(opt.port, 0);
        if (write(r->fd, text, n) != n) die("cannot request a stream", strerror(errno));
        watch_fd(r->fd, i);
        while (i + 1 - counts.heads >= OPENING) turn(10);
    }
    while (counts.heads < to) turn(10);
    counts.opened_at = now_us();
    for (int s = 0; !opt.watch && s < opt.symbols; s++) published.wanted_by[s] = opt.readers;
    free(order);
    free(text);
}

/* Open readers that send a request and never read. */
void open_stalled(void) {
    char text[1024];
    const char *get = *opt.stalled_get ? opt.stalled_get : opt.get;
    int n = sprintf(text, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n\r\n", get, opt.host, opt.port);
    for (int i = 0; i < opt.stalled; i++)
        if (write(dial(opt.port, 1), text, n) != n) die("cannot request a stream", strerror(errno));
}

static void count_age(uint32_t *histogram, int64_t us) {
    histogram[us < 0 ? 0 : us >= MOST_US ? MOST_US - 1 : us]++;
}

/* The server may omit events, except the newest of each symbol, and must not repeat any. */
static void have_newest(Reader *r, int64_t now) {
    long pair = (r - readers) * (long)opt.symbols + r->symbol;
    if (r->number <= seen[pair]) counts.repeated++;
    if (counts.measuring && seen_at[pair]) count_age(counts.spacings, now - seen_at[pair]);
    seen[pair] = r->number;
    seen_at[pair] = now;
}

/* Every event must arrive once and in order. */
static void have_next(Reader *r) {
    if (r->last >= 0 && r->number > r->last + 1) counts.lost += r->number - r->last - 1;
    if (r->number <= r->last) counts.repeated++;
    if (r->number < MOST_EVENTS && ++got[r->number] == opt.readers) counts.complete++;
}

static void have(Reader *r, int64_t now) {
    if (r->number < 0) return; /* an event without a number, such as welcome */
    if (!r->received++) {
        r->first_at = now;
        if (++counts.firsts == opt.readers) counts.first_at = now;
    }
    if (opt.conflated) have_newest(r, now);
    else if (!opt.watch) have_next(r);
    r->last = r->number;
    if (r->number == upto) {
        r->caught_at = now;
        counts.caught++;
    }
    if (counts.measuring && r->ts >= counts.begun_at) {
        counts.deliveries++;
        counts.last_receipt = now;
        count_age(counts.ages, now - r->ts);
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
        if (!number || !ts) return;
        r->number = strtol(number + 7, NULL, 10);
        r->ts = strtoll(ts + 5, NULL, 10);
        const char *symbol = opt.conflated ? memmem(line, size, "\"symbol\":\"S", 11) : NULL;
        if (symbol) r->symbol = atoi(symbol + 11);
    } else if (r == readers && size > 3 && size < (long)sizeof id && !memcmp(line, "id:", 3)) {
        memcpy(id, line, size);
        id[size] = 0;
    }
}

static void keep(Reader *r, const char *text, long size) {
    if (r->carry_size + size > CARRY) die("a line is too long", "more than 16 KB");
    if (!r->carry) r->carry = malloc(CARRY);
    memcpy(r->carry + r->carry_size, text, size);
    r->carry_size += size;
}

static void take_text(Reader *r, const char *at, long size) {
    const char *end = at + size, *line_end;
    int64_t now = now_us();
    while ((line_end = memchr(at, '\n', end - at))) {
        if (r->carry_size) {
            keep(r, at, line_end - at);
            take_line(r, r->carry, r->carry_size, now);
            r->carry_size = 0;
        } else take_line(r, at, line_end - at, now);
        at = line_end + 1;
    }
    if (at < end) keep(r, at, end - at);
}

static void take_body(Reader *r, const char *at, long size) {
    if (r->decoder) decode(r->decoder, at, size, take_text, r);
    else take_text(r, at, size);
}

/* Chunked coding (RFC 9112, section 7.1). The line break after a chunk parses as an empty size, and is skipped. */
static void take_chunked(Reader *r, const char *at, const char *end) {
    while (at < end) {
        if (r->in_data) {
            long n = end - at < r->chunk_left ? end - at : r->chunk_left;
            take_body(r, at, n);
            at += n;
            if (!(r->chunk_left -= n)) r->in_data = 0;
        } else if (isxdigit((unsigned char)*at)) {
            int digit = *at++ | 32;
            r->chunk_left = r->chunk_left * 16 + (digit <= '9' ? digit - '0' : digit - 'a' + 10);
        } else if (*at++ == '\n' && r->chunk_left) r->in_data = 1;
    }
}

/* Parse the head of the response once it is complete; return the position of the body. */
static const char *take_head(Reader *r, const char *at, const char *end) {
    int before = r->carry_size;
    keep(r, at, end - at);
    const char *body = memmem(r->carry, r->carry_size, "\r\n\r\n", 4), *coding;
    if (!body) return end;
    body += 4;
    char *head = strndup(r->carry, body - r->carry);
    if (strncmp(head, "HTTP/1.1 200", 12)) die("a stream was refused", head);
    r->chunked = strcasestr(head, "\ntransfer-encoding: chunked") != NULL;
    coding = strcasestr(head, "\ncontent-encoding: ");
    if (coding && strncasecmp(coding + 19, "identity", 8)) {
        r->decoder = new_decoder(coding + 19, strcspn(coding + 19, "\r"));
        counts.decoded++;
    }
    free(head);
    r->head_seen = 1;
    counts.heads++;
    r->carry_size = 0;
    return at + (body - r->carry - before);
}

void read_stream(Reader *r) {
    static char scratch[SCRATCH];
    /* Until the head is complete, do not read more bytes than the buffer of the head can hold. */
    long n = recv(r->fd, scratch, r->head_seen ? SCRATCH : CARRY - r->carry_size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) die("a stream ended", n ? strerror(errno) : "closed by the server");
    if (counts.measuring) counts.bytes += n;
    const char *at = scratch, *end = scratch + n;
    if (!r->head_seen) at = take_head(r, at, end);
    if (r->chunked) take_chunked(r, at, end);
    else if (at < end) take_body(r, at, end - at);
}

int all_have(long least) {
    for (int i = 0; i < opt.readers; i++)
        if (readers[i].received < least) return 0;
    return 1;
}

/* Reset the counters. All readers must have received the newest event. */
void start_anew(void) {
    for (int i = 0; i < opt.readers; i++) {
        readers[i].received = 0;
        if (!opt.watch) readers[i].last = published.newest - 1;
    }
    for (long pair = 0; opt.conflated && pair < (long)opt.readers * opt.symbols; pair++) seen_at[pair] = 0;
    counts.lost = counts.repeated = counts.complete = 0;
}

/* Expect the event numbers from `first` on. A reader has caught up when it has received the event `last`. */
void expect_numbers(long first, long last) {
    upto = last;
    for (int i = 0; i < opt.readers; i++) readers[i].last = first - 1;
}

/* Return the number of (reader, symbol) pairs for which the reader lacks the newest value of the symbol. */
long not_newest(void) {
    long count = 0;
    for (long pair = 0; pair < (long)opt.readers * opt.symbols; pair++)
        count += seen[pair] != UNASKED && seen[pair] != published.next_of[pair % opt.symbols] - 1;
    return count;
}

const char *newest_id(void) {
    return id;
}

/* Close a reader and reset its state. */
void hang_up(Reader *r) {
    close(r->fd);
    free(r->carry);
    *r = (Reader){.number = -1, .last = -1};
}
