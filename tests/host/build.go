package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Programs that stories need are built once per run of a test binary, outside
// the disposable hosts, into a directory that every host sees read-only.

var builds struct {
	mu   sync.Mutex
	dir  string
	done map[string]error
}

func buildDir(t *testing.T) string {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if builds.dir == "" {
		dir, err := os.MkdirTemp("", "polyinst-tests-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		builds.dir, builds.done = dir, map[string]error{}
	}
	return builds.dir
}

func removeBuildDir() {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
	}
}

// build makes tests/chosts/NAME.c, as a shared library if NAME begins with lib, or, if there is none, the Go program in
// tests/NAME, and returns where a disposable host finds it.
func build(name string) (string, error) {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	err, known := builds.done[name]
	if !known {
		err = compile(name, filepath.Join(builds.dir, name))
		builds.done[name] = err
	}
	return filepath.Join(buildPath, name), err
}

func compile(name, out string) error {
	source := filepath.Join("tests", "chosts", name+".c")
	cmd := exec.Command("go", "build", "-o", out, "./"+filepath.Join("tests", name))
	if _, err := os.Stat(filepath.Join(checkout(), source)); err == nil {
		cmd = exec.Command("gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g",
			"-o", out, source, "-lpam", "-ldl", "-pthread")
		if strings.HasPrefix(name, "lib") {
			cmd.Args = append(cmd.Args, "-shared", "-fPIC")
		}
	}
	cmd.Dir = checkout()
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return nil
}
