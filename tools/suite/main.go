// Command suite runs `go test -count=1` on packages and says at the end which
// tests were left out, and why.
//
//	suite [-allowed FILE] PACKAGE...
//
// Where CI is set, a test that is left out for a reason that FILE does not
// allow is a failure. FILE holds one regular expression per line.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

func main() {
	allowedFile := flag.String("allowed", "", "the `file` of reasons for which CI may leave out a test")
	flag.Parse()
	allowed, err := readAllowed(*allowedFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(2)
	}
	if os.Geteuid() == 0 && exec.Command("unshare", "-m", "true").Run() != nil {
		fmt.Println("suite: this root may not make a mount namespace: in a container, run it with --privileged")
	}
	os.Exit(run(flag.Args(), allowed, os.Getenv("CI") != ""))
}

func readAllowed(file string) ([]*regexp.Regexp, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var allowed []*regexp.Regexp
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		re, err := regexp.Compile("^(?:" + line + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		allowed = append(allowed, re)
	}
	return allowed, nil
}

func run(packages []string, allowed []*regexp.Regexp, strict bool) int {
	cmd := exec.Command("go", append([]string{"test", "-count=1", "-timeout=30m", "-json"}, packages...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		return 2
	}
	log := newLog(os.Stdout)
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			log.event(line)
		}
		if err != nil {
			break
		}
	}
	_, _ = io.Copy(io.Discard, events)
	failed := cmd.Wait() != nil
	fmt.Print(log.slowest(), log.summary(os.Geteuid() == 0))
	if unexpected := log.unexpected(allowed); strict && len(unexpected) > 0 {
		fmt.Printf("FAIL: CI must not leave these out:\n  %s\n", strings.Join(unexpected, "\n  "))
		failed = true
	}
	if failed {
		return 1
	}
	return 0
}
