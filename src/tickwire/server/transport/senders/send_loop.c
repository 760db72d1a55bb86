/* The parts of a flush that would be slow in Python: building the chunks for many readers, and calling send(2) or
 * sendmsg(2) once for each reader.
 *
 * Python calls the functions with ctypes, which releases the interpreter lock during a call.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Send lengths[i] bytes at addresses[i] to descriptor fds[i], for each i below count. Never wait for a socket.
 *
 * results[i] is the number of bytes that the socket accepted, or the negative errno.
 */
void tickwire_send(const int32_t *fds, const uint64_t *addresses, const uint32_t *lengths, int32_t *results, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        ssize_t sent;
        do sent = send(fds[i], (const void *)(uintptr_t)addresses[i], lengths[i], MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
        results[i] = sent < 0 ? -errno : (int32_t)sent;
    }
}

/* Send the pieces of memory pieces[begins[i]] ... pieces[begins[i] + counts[i] - 1] to descriptor fds[i], as one message,
 * for each i below count. There are piece_count pieces. Never wait for a socket.
 *
 * results[i] has the same meaning as in tickwire_send. It is -EINVAL if a piece does not exist.
 */
void tickwire_send_pieces(const int32_t *fds, struct iovec *pieces, int64_t piece_count, const int64_t *begins,
                          const int32_t *counts, int32_t *results, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        if (begins[i] < 0 || counts[i] < 0 || begins[i] > piece_count - counts[i]) {
            results[i] = -EINVAL;
            continue;
        }
        struct msghdr message = {.msg_iov = pieces + begins[i], .msg_iovlen = counts[i]};
        ssize_t sent;
        do sent = sendmsg(fds[i], &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
        results[i] = sent < 0 ? -errno : (int32_t)sent;
    }
}

/* Describe chunks of HTTP/1.1 as pieces of memory, one chunk for each group that receives a frame.
 *
 * Frame f has lengths[f] bytes at addresses[f], and the next route_sizes[f] elements of `groups` are the groups that
 * receive it. All arrays below have one element for each of the group_count groups. `counts` and `sizes` contain zeros.
 *
 * Afterwards, chunk g consists of the pieces pieces[begins[g]] ... pieces[begins[g] + counts[g] - 1], and has sizes[g]
 * bytes. counts[g] is 0 if group g receives no frame. `pieces` has room for member_count + 2 * group_count elements, and
 * `lines` for 10 * group_count characters. `cursors` is memory for the function. Return the number of pieces, or -1 if
 * the arrays contradict each other.
 */
int64_t tickwire_build_chunks(const uint64_t *addresses, const uint64_t *lengths, const int64_t *route_sizes,
                              int64_t frame_count, const int32_t *groups, int64_t member_count, int32_t group_count,
                              int32_t *counts, int64_t *begins, uint32_t *sizes, int64_t *cursors, char *lines,
                              struct iovec *pieces) {
    int64_t end = 0, member = 0;
    for (int64_t m = 0; m < member_count; m++) {
        if (groups[m] < 0 || groups[m] >= group_count) return -1;
        counts[groups[m]]++;
    }
    for (int32_t g = 0; g < group_count; g++) {
        begins[g] = end;
        cursors[g] = end + 1;
        if (counts[g]) end += counts[g] += 2;
    }
    for (int64_t f = 0; f < frame_count; f++) {
        if (route_sizes[f] < 0 || route_sizes[f] > member_count - member) return -1;
        for (int64_t last = member + route_sizes[f]; member < last; member++) {
            int32_t g = groups[member];
            pieces[cursors[g]++] = (struct iovec){(void *)(uintptr_t)addresses[f], lengths[f]};
            sizes[g] += lengths[f];
        }
    }
    if (member != member_count) return -1;
    for (int32_t g = 0; g < group_count; g++) {
        if (!counts[g]) continue;
        char *line_end = lines + 10 * (g + 1), *line = line_end;
        *--line = '\n';
        *--line = '\r';
        for (uint32_t rest = sizes[g]; rest; rest >>= 4) *--line = "0123456789abcdef"[rest & 15];
        pieces[begins[g]] = (struct iovec){line, line_end - line};
        pieces[cursors[g]] = (struct iovec){line_end - 2, 2};
        sizes[g] += line_end - line + 2;
    }
    return end;
}
