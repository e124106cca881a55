// Command mutants breaks Go files in one place at a time and runs the tests of
// their package: a mutant that no test notices has survived.
//
//	mutants [-known FILE] [-v] FILE.go...
//
// The files are of one package. All mutants are compiled into one test binary,
// which is told by its environment which of them it is, so that each costs no
// more than a run of the tests. A mutant is known by its file, its line of
// source and what was done there; -known names a file of survivors that are
// understood, one per line (as many as there are), with the reason before each block as a comment. Any
// other survivor is a failure; a known one that does not survive any more is
// named.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience is how long the tests of a mutant may take; one that takes longer
// hangs, which is noticed too.
const patience = 20 * time.Second

func main() {
	knownFile := flag.String("known", "", "the `file` of survivors that are understood")
	verbose := flag.Bool("v", false, "list every mutant, not the survivors alone")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: mutants [-known FILE] [-v] FILE.go...")
		os.Exit(2)
	}
	ok, err := run(flag.Args(), *knownFile, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(files []string, knownFile string, verbose bool) (bool, error) {
	known, err := readKnown(knownFile)
	if err != nil {
		return false, err
	}
	var all []mutant
	replaced := map[string][]byte{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		mutants, text, err := mutate(file, source, len(all))
		if err != nil {
			return false, err
		}
		all = append(all, mutants...)
		replaced[file] = text
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	binary, err := compile(dir, filepath.Dir(files[0]), replaced)
	if err != nil {
		return false, err
	}
	if out, caught := try(binary, filepath.Dir(files[0]), -1); caught {
		return false, fmt.Errorf("the tests fail without a mutant:\n%s", out)
	}
	survived := tryAll(binary, filepath.Dir(files[0]), all)
	return report(files, all, survived, known, verbose), nil
}

// compile makes the test binary, with all mutants in it.
func compile(dir, pkg string, replaced map[string][]byte) (string, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	name := ""
	add := func(path string, text []byte) error {
		to := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+".go")
		abs, err := filepath.Abs(path)
		overlay.Replace[abs] = to
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o600)
	}
	for path, text := range replaced {
		if err := add(path, text); err != nil {
			return "", err
		}
		name = packageName(text)
	}
	if err := add(filepath.Join(pkg, "mutants_switch.go"), []byte(strings.Replace(switchSource, "PACKAGE", name, 1))); err != nil {
		return "", err
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	plan, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "tests")
	if err := os.WriteFile(plan, text, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", plan, "-o", binary, "./"+pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile the mutants: %w\n%s", err, out)
	}
	return binary, nil
}

// try runs the tests as one mutant, -1 for none of them, and tells whether they
// notice.
func try(binary, pkg string, id int) (out []byte, caught bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.failfast", "-test.timeout="+patience.String())
	cmd.Dir = pkg
	cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(id))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return out, err != nil
}

func tryAll(binary, pkg string, all []mutant) []bool {
	survived := make([]bool, len(all))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range next {
				_, caught := try(binary, pkg, i)
				survived[i] = !caught
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	return survived
}

// report prints the table and the survivors, and tells whether they are those
// that are known.
func report(files []string, all []mutant, survived []bool, known map[string]int, verbose bool) bool {
	ok := true
	met := map[string]int{}
	fmt.Printf("%-36s %8s %8s %8s\n", "file", "mutants", "caught", "survive")
	for _, file := range files {
		made, left := 0, 0
		for i, m := range all {
			if m.file == file {
				made++
				if survived[i] {
					left++
				}
			}
		}
		fmt.Printf("%-36s %8d %8d %8d\n", file, made, made-left, left)
	}
	for i, m := range all {
		if verbose {
			fmt.Printf("%s:%d: %v %s\n", m.file, m.line, survived[i], m.String())
		}
		if !survived[i] {
			continue
		}
		met[m.String()]++
		if met[m.String()] > known[m.String()] {
			ok = false
			fmt.Printf("survives, line %d: %s\n", m.line, m)
		}
	}
	for k, n := range known {
		if met[k] < n && slices.Contains(files, strings.SplitN(k, ": ", 2)[0]) {
			fmt.Printf("is caught now, or is no mutant any more; remove it from the list: %s\n", k)
		}
	}
	return ok
}

func readKnown(file string) (map[string]int, error) {
	known := map[string]int{}
	if file == "" {
		return known, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			known[line]++
		}
	}
	return known, nil
}

func packageName(text []byte) string {
	for line := range bytes.Lines(text) {
		if name, ok := bytes.CutPrefix(line, []byte("package ")); ok {
			return string(bytes.TrimSpace(name))
		}
	}
	return "main"
}
