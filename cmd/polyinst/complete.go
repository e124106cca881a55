package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
)

// completer says what a shell offers for a word that begins so.
type completer = cobra.CompletionFunc

// flagValues are the completers of the flags that take a value, by their names,
// which mean the same in each command. TestEveryValueCompletes holds that each
// flag has one.
var flagValues = map[string]completer{
	"arg":              wordsOf(config.ArgNames),
	"as":               files("conf"),
	"aside":            wordsOf(instancePaths),
	"conf":             files("conf"),
	"context":          nothing,
	"exempt":           wordsOf(accounts),
	"files-older-than": nothing,
	"from":             sessionsOf,
	"from-uid":         nothing,
	"module":           files("so"),
	"older-than":       nothing,
	"orphaned-for":     nothing,
	"output":           files("prom"),
	"pam":              directories,
	"parents":          directories,
	"repair":           wordsOf(instancePaths),
	"require":          wordsOf(polydirPaths),
	"service":          wordsOf(services),
	"user":             wordsOf(accounts),
	"vendordir":        directories,
	"within":           nothing,
	"workers":          nothing,
}

// argumentValues are the completers of the arguments of commands that have none
// of their own.
var argumentValues = map[string]completer{
	"check":   oneOf(files("conf")),
	"convert": files("conf"),
	"disable": others(stackNames),
	"enable":  others(stackNames),
	"help":    nothing,
	"rename":  renamed,
}

// complete gives each command and flag its completer.
func complete(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if own, ok := argumentValues[cmd.Name()]; ok {
			cmd.ValidArgsFunction = own
		} else if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
			cmd.ValidArgsFunction = nothing
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if own, ok := flagValues[f.Name]; ok {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, own)
			}
		})
	}
}

func nothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func files(extension string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{extension}, cobra.ShellCompDirectiveFilterFileExt
	}
}

func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// oneOf completes the first argument alone.
func oneOf(first completer) completer {
	return func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nothing(cmd, args, begin)
		}
		return first(cmd, args, begin)
	}
}

// others completes words that are no arguments yet.
func others(all func() []string) completer {
	return func(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, w := range all() {
			if strings.HasPrefix(w, begin) && !slices.Contains(args, w) {
				out = append(out, w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// wordsOf completes one of the words.
func wordsOf(all func() []string) completer {
	return func(_ *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, w := range all() {
			if strings.HasPrefix(w, begin) {
				out = append(out, w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// services are those that have a PAM stack.
func services() []string {
	stacks, _ := readStacks(pamDir)
	return pamstack.All(stacks)
}

// stackNames are the files that a line can be put into, also those that others
// include.
func stackNames() []string {
	stacks, _ := readStacks(pamDir)
	return stacks.Names()
}

// sessionsOf completes USER, and behind a colon the service.
func sessionsOf(_ *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
	user, service, colon := strings.Cut(begin, ":")
	var out []string
	for _, name := range accounts() {
		if !colon && strings.HasPrefix(name, begin) {
			out = append(out, name)
		}
	}
	for _, name := range services() {
		if colon && strings.HasPrefix(name, service) {
			out = append(out, user+":"+name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// installed is the configuration, or one without anything.
func installed() *config.Config {
	c, _, problems, err := read("", true)
	if err != nil || len(problems) > 0 {
		return &config.Config{}
	}
	return c
}

func polydirPaths() []string {
	var out []string
	for _, p := range installed().Polydirs {
		if !varies(&p) && !slices.Contains(out, string(p.Path)) {
			out = append(out, string(p.Path))
		}
	}
	return out
}

// instancePaths are what lies in the parents that are not in homes.
func instancePaths() []string {
	var out []string
	eachInstance(func(p parent, name string) { out = append(out, p.path+"/"+p.prefix+name) })
	return out
}

// eachInstance tells of what lies in the parents that are not in homes, by the
// names without the prefix.
func eachInstance(f func(p parent, name string)) {
	for _, p := range parents(installed(), true) {
		way, err := observe.OpenParent(p.path)
		if err != nil || !way.Dir.IsOpen() {
			continue
		}
		names, _ := way.Dir.Names()
		way.Close()
		for _, entry := range names {
			if name, ok := strings.CutPrefix(entry, p.prefix); ok && !strings.HasPrefix(entry, ".") {
				f(p, name)
			}
		}
	}
}

// renamed completes the name of instances whose account is gone, and then the
// account's new name.
func renamed(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return wordsOf(accountsGone)(cmd, args, begin)
	case 1:
		return wordsOf(accounts)(cmd, args, begin)
	}
	return nothing(cmd, args, begin)
}

func accountsGone() []string {
	var out []string
	eachInstance(func(_ parent, name string) {
		if _, err := nss.User(name); nss.IsUnknown(err) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	})
	return out
}
