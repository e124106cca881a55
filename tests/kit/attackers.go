package kit

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
)

// Exchange swaps two paths, again and again, until stop is closed: what a user
// can do in a directory of their own.
func Exchange(a, b string, stop chan struct{}, done *sync.WaitGroup) {
	Again(stop, done, func() { _ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) })
}

// Again does something again and again, until stop is closed.
func Again(stop chan struct{}, done *sync.WaitGroup, f func()) {
	defer done.Done()
	for {
		select {
		case <-stop:
			return
		default:
			f()
		}
	}
}

var (
	CreateInHome = strings.ReplaceAll(OwnTmp, `"/tmp"`, `"$HOME/d/a"`) + "create = { mode = \"0777\" }\nskel = true\n"
	ParentInHome = strings.NewReplacer(`"/tmp"`, `"$HOME/box"`, `"/var/lib/polyinst/tmp/"`, `"$HOME/.inst/"`).Replace(OwnTmp) +
		"parent_in_unsafe_dir = true\n"
)

// StillRunning are the processes that still run under one of the names, after those
// that end had time to.
func StillRunning(names ...string) []string {
	var left []string
	for end := time.Now().Add(host.Patience); time.Now().Before(end); {
		left = nil
		comms, _ := filepath.Glob("/proc/[0-9]*/comm")
		for _, c := range comms {
			name, err := os.ReadFile(c)
			if err == nil && slices.Contains(names, strings.TrimSpace(string(name))) {
				left = append(left, filepath.Dir(c))
			}
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}

// AtEveryCall is how long a story may take that does something at each system call of
// a worker, in its long form.
const AtEveryCall = 3 * time.Hour

// Setting is a setting of the make target.
func Setting(name string, short int) int {
	if n, err := strconv.Atoi(os.Getenv("POLYINST_TEST_" + name)); err == nil {
		return n
	}
	return short
}
