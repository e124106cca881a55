// Command weakened builds pam_polyinst with one check taken out at a time, and
// runs the tests that are to notice.
//
//	weakened [-only REGEXP] [-n]
//
// It works on a copy of the checkout that it is started in. A weakened build
// that no test notices is a failure, and so is a check that is not found any
// more: list.go names the line of each.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	only := flag.String("only", "", "those whose name matches the `regexp`")
	list := flag.Bool("n", false, "only look whether every check is there")
	flag.Parse()
	ok, err := run(*only, *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "weakened:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(only string, list bool) (bool, error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	var moved []error
	for _, w := range weakenings {
		text, err := os.ReadFile(w.file)
		if err == nil {
			_, err = w.apply(text)
		}
		moved = append(moved, err)
	}
	if err := errors.Join(moved...); err != nil {
		return false, err
	}
	if list {
		fmt.Printf("%d checks are there\n", len(weakenings))
		return true, nil
	}
	dir, err := os.MkdirTemp("", "weakened-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // users run programs from there
		return false, err
	}
	if err := copyTree(dir); err != nil {
		return false, err
	}
	where, err := stories(".")
	if err != nil {
		return false, err
	}
	// the stories' own programs are the same for all of them
	if out, err := command(dir, "go", "test", "-c", "-vet=off", "-o", "build/stories/", "./tests/...").CombinedOutput(); err != nil {
		return false, fmt.Errorf("go test -c ./tests/...: %w\n%s", err, out)
	}
	fmt.Printf("| %-44s | %-10s | %s\n", "check that is taken out", "invariant", "noticed by")
	ok := true
	for _, w := range weakenings {
		if !wanted.MatchString(w.name) {
			continue
		}
		by, err := w.try(dir, where)
		switch {
		case err != nil:
			ok = false
			fmt.Fprintf(os.Stderr, "weakened: %s: %v\n", w.name, err)
			by = []string{"NOT TRIED"}
		case len(by) == 0:
			ok = false
			by = []string{"NOBODY"}
		}
		fmt.Printf("| %-44s | %-10s | %s\n", w.name, w.holds, strings.Join(by, ", "))
	}
	return ok, nil
}

// copyTree copies what git knows of the checkout.
func copyTree(dir string) error {
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for _, name := range strings.Split(strings.Trim(string(out), "\x00"), "\x00") {
		st, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, st.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// apply takes the check out; its text must be there exactly once.
func (w weakening) apply(text []byte) ([]byte, error) {
	if n := bytes.Count(text, []byte(w.check)); n != 1 {
		return nil, fmt.Errorf("%s: %s: this stands there %d times, want once:\n%s", w.name, w.file, n, w.check)
	}
	return bytes.Replace(text, []byte(w.check), []byte(w.instead), 1), nil
}

// stories tells in which folder of tests/ each test is.
func stories(checkout string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(checkout, "tests", "*", "*_test.go"))
	if err != nil {
		return nil, err
	}
	where := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			where[string(m[1])] = filepath.Base(filepath.Dir(file))
		}
	}
	return where, nil
}

var declared = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// runs are the commands that run the tests, each in its folder.
func (w weakening) runs(dir string, where map[string]string) ([]*exec.Cmd, error) {
	if w.pkg != "" {
		return []*exec.Cmd{command(dir, "go", "test", "-count=1", "-vet=off", "-run", pattern(strings.Split(w.tests, "|")), "./"+w.pkg)}, nil
	}
	folders := map[string][]string{}
	for _, name := range strings.Split(w.tests, "|") {
		top, _, _ := strings.Cut(name, "/")
		whole, err := regexp.Compile("^" + top + "$")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		found := false
		for test, folder := range where {
			if whole.MatchString(test) {
				found = true
				if !slices.Contains(folders[folder], name) {
					folders[folder] = append(folders[folder], name)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: no folder of tests/ has %s", w.name, top)
		}
	}
	var all []*exec.Cmd
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		all = append(all, command(filepath.Join(dir, "tests", folder), filepath.Join(dir, "build", "stories", folder+".test"), "-test.run", pattern(folders[folder])))
	}
	return all, nil
}

// try builds and tests with the check taken out, and tells which tests notice.
func (w weakening) try(dir string, where map[string]string) ([]string, error) {
	path := filepath.Join(dir, w.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	weak, err := w.apply(text)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, weak, 0o644); err != nil {
		return nil, err
	}
	defer os.WriteFile(path, text, 0o644)
	if w.pkg == "" {
		if out, err := command(dir, "make", "build").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make build: %w\n%s", err, out)
		}
	}
	runs, err := w.runs(dir, where)
	if err != nil {
		return nil, err
	}
	var noticed []string
	for _, cmd := range runs {
		cmd.Env = append(cmd.Environ(), "POLYINST_TEST_ATTACKS=60")
		if out, err := cmd.CombinedOutput(); err != nil {
			names, err := failed(string(out))
			if err != nil {
				return nil, err
			}
			noticed = append(noticed, names...)
		}
	}
	return noticed, nil
}

// pattern matches tests by their whole names; each part of a subtest's is a
// pattern of its own.
func pattern(tests []string) string {
	var all []string
	for _, name := range tests {
		all = append(all, "^"+strings.ReplaceAll(name, "/", "$/^")+"$")
	}
	return strings.Join(all, "|")
}

func command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// failed are the innermost tests that a run of `go test` says have failed.
func failed(out string) ([]string, error) {
	var names []string
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, n+"/") })
	})
	if len(names) == 0 {
		return nil, fmt.Errorf("go test failed, but no test did:\n%s", out)
	}
	if len(names) > 4 {
		names = append(names[:4], fmt.Sprintf("and %d more", len(names)-4))
	}
	return names, nil
}
