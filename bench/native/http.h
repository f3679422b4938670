/* What the client and the upstream of the benchmarks both need of HTTP/1.1: fields of a head, and where a body ends.
 * They talk to proxies under test, so they trust no framing, but they are no parser to copy: heads are not validated. */

#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum stage { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, TRAILER_START, TRAILER, BY_LENGTH, COMPLETE };

/* A body on its way in. `payload` counts its bytes without the framing. */
struct body {
	enum stage stage;
	uint64_t left;
	uint64_t payload;
};

static inline void fail(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	vfprintf(stderr, format, values);
	va_end(values);
	fputc('\n', stderr);
	exit(1);
}

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The byte after the blank line, or NULL while the head is not whole. */
static inline const char *head_end(const char *data, size_t size)
{
	const char *blank = memmem(data, size, "\r\n\r\n", 4);

	return blank ? blank + 4 : NULL;
}

/* The value of a field, its length in `size`; NULL where the head has none of that name. */
static inline const char *head_field(const char *head, const char *end, const char *name, size_t *size)
{
	size_t name_size = strlen(name);
	const char *line = memchr(head, '\n', (size_t)(end - head));

	while (line && ++line < end - 2) {
		const char *stop = memchr(line, '\r', (size_t)(end - line));

		if ((size_t)(stop - line) > name_size && line[name_size] == ':' && !strncasecmp(line, name, name_size)) {
			const char *value = line + name_size + 1;

			while (value < stop && (*value == ' ' || *value == '\t'))
				value++;
			*size = (size_t)(stop - value);
			return value;
		}
		line = memchr(stop, '\n', (size_t)(end - stop));
	}
	return NULL;
}

/* What follows a head. Without either length a request has no body; a reply without one would end with its connection,
 * which nothing under test may make of a reply that had a length, so it counts as empty and its bytes as a fault. */
static inline struct body body_after(const char *head, const char *end)
{
	struct body body = {COMPLETE, 0, 0};
	size_t size;
	const char *value = head_field(head, end, "Transfer-Encoding", &size);

	if (value && size == 7 && !strncasecmp(value, "chunked", 7)) {
		body.stage = CHUNK_SIZE;
		return body;
	}
	value = head_field(head, end, "Content-Length", &size);
	if (value)
		body.left = strtoull(value, NULL, 10);
	if (body.left)
		body.stage = BY_LENGTH;
	return body;
}

static inline unsigned hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return (unsigned)(digit - '0');
	if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
		return (unsigned)((digit | 32) - 'a' + 10);
	fail("a chunk size has the byte 0x%02x", (unsigned char)digit);
	return 0;
}

static inline size_t body_take_payload(struct body *body, size_t size, enum stage after)
{
	size_t taken = size < body->left ? size : (size_t)body->left;

	body->left -= taken;
	body->payload += taken;
	if (!body->left)
		body->stage = after;
	return taken;
}

static inline void body_take_framing(struct body *body, char byte)
{
	switch (body->stage) {
	case CHUNK_SIZE:
		if (byte == '\r' || byte == ';')
			body->stage = CHUNK_EXTENSION;
		else
			body->left = body->left * 16 + hex_digit(byte);
		break;
	case CHUNK_EXTENSION:
		if (byte == '\n')
			body->stage = body->left ? CHUNK_DATA : TRAILER_START;
		break;
	case CHUNK_END:
		if (byte == '\n')
			body->stage = CHUNK_SIZE;
		break;
	case TRAILER_START:
		body->stage = byte == '\n' ? COMPLETE : byte == '\r' ? TRAILER_START : TRAILER;
		break;
	case TRAILER:
		if (byte == '\n')
			body->stage = TRAILER_START;
		break;
	default:
		fail("framing read in stage %d", body->stage);
	}
}

/* Read as much of `data` as belongs to the body; gives how much that was. */
static inline size_t body_take(struct body *body, const char *data, size_t size)
{
	size_t taken = 0;

	while (taken < size && body->stage != COMPLETE) {
		if (body->stage == BY_LENGTH)
			taken += body_take_payload(body, size - taken, COMPLETE);
		else if (body->stage == CHUNK_DATA)
			taken += body_take_payload(body, size - taken, CHUNK_END);
		else
			body_take_framing(body, data[taken++]);
	}
	return taken;
}

#endif
