/* comet SLEEPERS FILE: a process that lives on by forking, as fast as it can, until
 * FILE is there; beside it many that sleep as long. Prints "comet" when it flies. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int ends[2];
	char c;

	if (argc != 3 || pipe(ends) != 0)
		return 2;
	for (long n = strtol(argv[1], NULL, 10); n > 0; n--) {
		switch (fork()) {
		case -1:
			return 1;
		case 0:
			close(ends[1]); /* the comet alone holds it: its end is theirs */
			_exit(read(ends[0], &c, 1) < 0);
		}
	}
	puts("comet");
	fflush(stdout);
	while (access(argv[2], F_OK) != 0) {
		pid_t next = fork();
		if (next > 0)
			_exit(0);
		if (next < 0)
			usleep(100);
	}
	_exit(0);
}
