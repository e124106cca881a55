package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// accounts are the names of all accounts that the directory lists.
func accounts() []string {
	names, err := getent("passwd")
	if err != nil {
		fmt.Fprintf(os.Stderr, "polyinst: getent passwd: %v: parents that vary by user are left out\n", err)
	}
	return names
}

// groups are the names of the groups that the directory lists.
func groups() []string {
	names, _ := getent("group")
	return names
}

func getent(database string) ([]string, error) {
	out, err := exec.Command("getent", database).Output()
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if name, _, ok := strings.Cut(lines.Text(), ":"); ok {
			names = append(names, name)
		}
	}
	return names, err
}
