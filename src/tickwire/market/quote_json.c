/* The JSON of quotes. Python does the same with msgspec, but first has to create an object for each number.
 *
 * Python calls the function with ctypes, which releases the interpreter lock during the call.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MAX_NUMBER_BYTES = 32 };

/* Most prices have at most two decimals. `write_number` tries two decimals first, and then more decimals. */
static const struct {
    int decimals;
    uint64_t power;
} PRECISIONS[] = {{2, 100}, {4, 10000}, {6, 1000000}, {9, 1000000000}, {12, 1000000000000}};

/* Write `value` with at least `digits` digits. */
static char *write_integer(char *to, uint64_t value, int digits) {
    char text[20];
    int size = 0;
    do text[size++] = '0' + value % 10;
    while ((value /= 10) || size < digits);
    while (size) *to++ = text[--size];
    return to;
}

/* Write a number as JSON, with the fewest digits. Return NULL if this needs an exponent or more than 15 digits.
 *
 * Two different numbers of up to 15 digits, with equally many decimals, never have the same nearest double. So the text
 * that this function finds is the only text with so many decimals. Without zeros at its end, it is the shortest text.
 */
static char *write_number(char *to, double value, int is_count) {
    if (isnan(value)) return (char *)memcpy(to, "null", 4) + 4;
    double magnitude = fabs(value);
    if (!(magnitude < 1e15)) return NULL;
    uint64_t whole = (uint64_t)magnitude;
    if (whole == magnitude) {
        if (signbit(value) && (whole || !is_count)) *to++ = '-';
        to = write_integer(to, whole, 1);
        return is_count ? to : (char *)memcpy(to, ".0", 2) + 2;
    }
    if (magnitude < 1e-3) return NULL;
    for (unsigned i = 0; i < sizeof PRECISIONS / sizeof *PRECISIONS; i++) {
        double scaled = magnitude * PRECISIONS[i].power;
        if (!(scaled < 1e15)) return NULL;
        uint64_t digits = (uint64_t)(scaled + 0.5), power = PRECISIONS[i].power;
        int decimals = PRECISIONS[i].decimals;
        if ((double)digits / power != magnitude) continue;
        for (; digits % 10 == 0; decimals--) digits /= 10, power /= 10;
        if (value < 0) *to++ = '-';
        to = write_integer(to, digits / power, 1);
        *to++ = '.';
        return write_integer(to, digits % power, decimals);
    }
    return NULL;
}

/* A text of a given length. */
struct text {
    const char *bytes;
    int64_t size;
};

static char *write_text(char *to, struct text text) {
    return (char *)memcpy(to, text.bytes, text.size) + text.size;
}

/* Write the JSON of `quote_count` quotes, with other texts around each quote.
 *
 * The bytes of `heads` from head_ends[q - 1] to before head_ends[q] are the JSON of quote q before its first number.
 * The bytes of `keys` from key_ends[f - 1] to before key_ends[f] precede the number values[f * quote_count + q] of
 * field f. The last key precedes the time. is_count[f] is 1 if whole numbers of the field have no decimals. The text
 * `before`, the number numbers[q] and the text `between` precede the JSON of quote q, and the text `after` follows
 * the JSON. If `numbers` is NULL, no text precedes the JSON. No time or number is negative.
 *
 * ends[q] is the end of quote q in `to`, which has room for `room` bytes. The function writes nothing for a quote that
 * needs another method; ends[q] is then the negated end of the quote before it, or 0 if `to` contains no quote yet.
 * Return the number of bytes, or -1 if there is not enough room.
 */
int64_t tickwire_quote_json(const double *values, const int64_t *times, int64_t quote_count, int64_t field_count,
                            const char *heads, const int64_t *head_ends, const char *keys, const int64_t *key_ends,
                            const uint8_t *is_count, const char *before, int64_t before_size, const int64_t *numbers,
                            const char *between, int64_t between_size, const char *after, int64_t after_size, char *to,
                            int64_t room, int64_t *ends) {
    char *const start = to;
    int64_t texts = before_size + between_size + after_size + key_ends[field_count] + 1, head = 0;
    for (int64_t q = 0; q < quote_count; head = head_ends[q++]) {
        int64_t head_size = head_ends[q] - head, key = 0;
        char *begin = to;
        if (texts + head_size + (field_count + 2) * MAX_NUMBER_BYTES > room - (to - start)) return -1;
        if (numbers) {
            to = write_integer(write_text(to, (struct text){before, before_size}), numbers[q], 1);
            to = write_text(to, (struct text){between, between_size});
        }
        to = write_text(to, (struct text){heads + head, head_size});
        for (int64_t f = 0; f < field_count && to; key = key_ends[f++]) {
            to = write_text(to, (struct text){keys + key, key_ends[f] - key});
            to = write_number(to, values[f * quote_count + q], is_count[f]);
        }
        if (!to) {
            to = begin;
            ends[q] = -(to - start);
            continue;
        }
        to = write_text(to, (struct text){keys + key, key_ends[field_count] - key});
        to = write_integer(to, times[q], 1);
        *to++ = '}';
        to = write_text(to, (struct text){after, after_size});
        ends[q] = to - start;
    }
    return to - start;
}
