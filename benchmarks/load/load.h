/* The options, the readers and the counters that all parts of the load generator share. */
#ifndef LOAD_H
#define LOAD_H
#define _GNU_SOURCE
#include <stdint.h>

enum { CARRY = 16384, MOST_US = 4000000, MOST_BATCH = 4096 };

typedef struct {
    const char *host, *get, *post, *headers, *prefix, *suffix, *encoding, *stalled_get;
    int port, pub_port, readers, full, urlencode, symbols, watch, batch, window, stalled, conflated, behind, missed;
    double rate, seconds, fill;
} Options;

typedef struct {
    int fd, head_seen, chunked, in_data, data_seen, carry_size;
    long chunk_left;
    long number, last; /* the number of the event in progress, and of the newest complete event */
    int symbol;        /* the symbol of the event in progress; set only with `conflated` */
    int64_t ts, opened, first_at, caught_at;
    long received;
    char *carry; /* the start of an incomplete line or head */
    struct Decoder *decoder;
} Reader;

/* Counters of received events. An event counts if `measuring` is set and it was published after `begun_at`. */
typedef struct {
    long deliveries, complete, lost, repeated, bytes;
    int measuring, heads, firsts, caught, decoded;
    int64_t begun_at, last_receipt, opened_at, first_at;
    uint32_t *ages, *spacings; /* histograms in microseconds: from publish to receipt, and between quotes of a symbol */
} Counts;

/* The published events. With watchlists, each symbol numbers its events separately. */
typedef struct {
    long count, newest, expected, late, *next_of;
    int *wanted_by; /* for each symbol: the number of readers that watch it */
} Published;

extern Options opt;
extern Reader *readers;
extern Counts counts;
extern Published published;

/* load.c */
int64_t now_us(void);
void die(const char *what, const char *detail);
void turn(int wait_ms);
int dial(int port, int stalled);
void watch_fd(int fd, uint64_t tag);

/* reader.c */
void make_readers(void);
void open_readers(int from, int to, const char *header);
void open_stalled(void);
void read_stream(Reader *r);
int all_have(long least);
void start_anew(void);
void expect_numbers(long first, long last);
long not_newest(void);
const char *newest_id(void); /* the newest id line of reader 0 */
void hang_up(Reader *r);

/* publisher.c */
void make_publisher(void);
void read_answer(void);
int publish(int count, int in_turn);
int all_answered(void);

/* decoder.c: decodes a response piece by piece, and passes the text to `take`. */
struct Decoder *new_decoder(const char *name, int size);
void decode(struct Decoder *d, const char *from, long size, void (*take)(Reader *, const char *, long), Reader *r);
#endif
