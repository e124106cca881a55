/* The Go side of a module that is built without Go: a worker that says what the
 * PAM line's lie=HEX tells it to (lie.h), in a real process of a real host. The
 * script's first two bytes are the fuzzer's own and are left out. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/uio.h>

#include "lie.h"

static void start_nothing(int argc, char **argv, char **envp) { (void)argc, (void)argv, (void)envp; }

__attribute__((visibility("hidden"))) extern void (*const polyinst_go_init[])(int, char **, char **);
void (*const polyinst_go_init[])(int, char **, char **) = { start_nothing };

static uint8_t script[1 << 16];

static size_t read_script(const char *request, size_t length)
{
	const char key[] = "arg=lie=";
	size_t n = 0;

	for (const char *s = request; s < request + length; s += strlen(s) + 1)
		if (strncmp(s, key, sizeof key - 1) == 0)
			for (s += sizeof key - 1; s[0] && s[1] && n < sizeof script; s += 2) {
				const char digits[3] = { s[0], s[1], 0 };
				script[n++] = (uint8_t)strtoul(digits, NULL, 16);
			}
	return n;
}

static bool in_place(const char *request, size_t length)
{
	for (const char *s = request; s < request + length; s += strlen(s) + 1)
		if (strcmp(s, "inplace=1") == 0)
			return true;
	return false;
}

static void answer_with(int sock, const char *request, size_t length)
{
	struct lie lie = { script, read_script(request, length), 0 };
	int outcome;

	next_byte(&lie);
	next_byte(&lie);
	if (in_place(request, length))
		play(&lie, -1); /* that was said the first time */
	switch (play(&lie, sock)) {
	case SILENT:
		for (;;)
			pause();
	case ENDED:
		_exit(9);
	case REPORTED:
		while (read(sock, &outcome, sizeof outcome) < 0)
			;
	}
}

void polyinstOpen(int sock, char *request, size_t length);
void polyinstClose(int sock, char *request, size_t length);

void polyinstOpen(int sock, char *request, size_t length) { answer_with(sock, request, length); }
void polyinstClose(int sock, char *request, size_t length) { answer_with(sock, request, length); }
