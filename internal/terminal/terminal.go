// Package terminal asks about the terminal that a command writes to.
//
// It is one of the kernel packages, which alone make system calls.
package terminal

import "golang.org/x/sys/unix"

// Is tells whether the descriptor is a terminal.
func Is(fd uintptr) bool {
	_, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
	return err == nil
}

// Width is how many columns the terminal has; 0 where there is none, or it does
// not say.
func Width(fd uintptr) int {
	size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
