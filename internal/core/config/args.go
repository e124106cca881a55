package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Args are the arguments of the module on the PAM line.
type Args struct {
	Debug      bool
	Conf       string     // the main file, absolute; empty: the default one
	LastGood   bool       // config_error=last-good, or ignore_config_error
	Rescue     UserList   // added to the rescue of the file; positions are zero
	HasRescue  bool       // rescue= is there
	Require    []Template // paths that a session must have of its own; $HOME, $USER and $UID are the user's
	HasRequire bool       // require= is there
	Nested     *Nested    // nested=, or unmnt_remnt: replace; unmnt_only: escape; nil: as the file says

	RequireSELinux           bool
	GenHash                  bool
	IgnoreConfigError        bool
	IgnoreInstanceParentMode bool
	UnmountOnClose           bool
	UseCurrentContext        bool
	UseDefaultContext        bool
	MountPrivate             bool
	Close                    bool // the line opens nothing: view.c leads the host out of the view at close
}

// argsReader collects the arguments of one PAM line.
type argsReader struct {
	Args
	seen     map[string]bool
	nestedBy string // the argument that said Nested
	deny     bool
	problems []string
}

// arg is one argument: a flag, or one with a value behind "=".
type arg struct {
	name   string
	valued bool
	read   func(r *argsReader, value string) *fault // value is empty for a flag
}

var argList = []arg{
	{"debug", false, func(r *argsReader, _ string) *fault { r.Debug = true; return nil }},
	{"conf", true, readConf},
	{"config_error", true, readConfigError},
	{"rescue", true, readRescue},
	{"require", true, readRequire},
	{"nested", true, readNestedArg},
	{"unmnt_remnt", false, func(r *argsReader, _ string) *fault { return r.nested(NestedReplace, "unmnt_remnt") }},
	{"unmnt_only", false, func(r *argsReader, _ string) *fault { return r.nested(NestedEscape, "unmnt_only") }},
	{"require_selinux", false, func(r *argsReader, _ string) *fault { r.RequireSELinux = true; return nil }},
	{"gen_hash", false, func(r *argsReader, _ string) *fault { r.GenHash = true; return nil }},
	{"ignore_config_error", false, func(r *argsReader, _ string) *fault {
		r.IgnoreConfigError, r.LastGood = true, true
		return nil
	}},
	{"ignore_instance_parent_mode", false, func(r *argsReader, _ string) *fault {
		r.IgnoreInstanceParentMode = true
		return nil
	}},
	{"unmount_on_close", false, func(r *argsReader, _ string) *fault { r.UnmountOnClose = true; return nil }},
	{"use_current_context", false, func(r *argsReader, _ string) *fault { r.UseCurrentContext = true; return nil }},
	{"use_default_context", false, func(r *argsReader, _ string) *fault { r.UseDefaultContext = true; return nil }},
	{"close", false, func(r *argsReader, _ string) *fault { r.Close = true; return nil }},
	{"mount_private", false, func(r *argsReader, _ string) *fault { r.MountPrivate = true; return nil }},
}

// ParseArgs reads the arguments of the PAM line. Where it returns an error, on
// one line and with all that is wrong, it still returns what it understood:
// the caller needs Rescue all the same.
func ParseArgs(argv []string) (Args, error) {
	r := argsReader{seen: map[string]bool{}}
	for _, a := range argv {
		if f := r.read(a); f != nil {
			r.problems = append(r.problems, f.String())
		}
	}
	if r.deny && r.IgnoreConfigError {
		r.problems = append(r.problems, `"config_error=deny" contradicts "ignore_config_error"`)
	}
	if r.UseCurrentContext && r.UseDefaultContext {
		r.problems = append(r.problems, `"use_current_context" contradicts "use_default_context"`)
	}
	if len(r.problems) > 0 {
		return r.Args, errors.New(strings.Join(r.problems, "; "))
	}
	return r.Args, nil
}

func (r *argsReader) read(word string) *fault {
	name, val, hasValue := strings.Cut(word, "=")
	a := findArg(name)
	switch {
	case a == nil:
		return unknownArg(word, name)
	case a.valued && !hasValue:
		return faulty(fmt.Sprintf("argument %q has no value", name))
	case !a.valued && hasValue:
		return faulty(fmt.Sprintf("argument %q takes no value, found %q", name, val))
	}
	var twice *fault
	if a.valued && r.seen[name] {
		twice = faulty(fmt.Sprintf("argument %q is given twice", name))
	}
	r.seen[name] = true
	if f := a.read(r, val); f != nil {
		return f
	}
	return twice
}

func findArg(name string) *arg {
	for i := range argList {
		if argList[i].name == name {
			return &argList[i]
		}
	}
	return nil
}

// ArgNames are the arguments of the PAM line; those that take a value end in "=".
func ArgNames() []string {
	names := make([]string, len(argList))
	for i, a := range argList {
		if names[i] = a.name; a.valued {
			names[i] += "="
		}
	}
	return names
}

func unknownArg(word, name string) *fault {
	known := make([]string, len(argList))
	for i, a := range argList {
		known[i] = a.name
	}
	return &fault{fmt.Sprintf("unknown argument %q", word), suggest(name, known)}
}

func readNestedArg(r *argsReader, word string) *fault {
	if !slices.Contains(nestedWords, word) {
		return &fault{fmt.Sprintf("nested: unknown value %q, want %s", word, oneOfList(nestedWords)), suggest(word, nestedWords)}
	}
	return r.nested(Nested(word), "nested="+word)
}

func (r *argsReader) nested(n Nested, by string) *fault {
	if r.Nested != nil && *r.Nested != n {
		return faulty(fmt.Sprintf("%q contradicts %q", r.nestedBy, by))
	}
	r.Nested, r.nestedBy = &n, by
	return nil
}

func readConf(r *argsReader, path string) *fault {
	if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") {
		return faulty(fmt.Sprintf("conf: %q is no absolute path of a file", path))
	}
	if f := parseInit(path); f != nil {
		return &fault{"conf: " + f.message, f.hint}
	}
	r.Conf = path
	return nil
}

func readConfigError(r *argsReader, word string) *fault {
	words := []string{"deny", "last-good"}
	switch word {
	case "deny":
		r.deny = true
	case "last-good":
		r.LastGood = true
	default:
		return &fault{fmt.Sprintf("config_error: unknown value %q, want %s", word, oneOfList(words)), suggest(word, words)}
	}
	return nil
}

// readRescue keeps the entries that are right even if others are not.
func readRescue(r *argsReader, list string) *fault {
	r.HasRescue = true
	var wrong *fault
	for _, word := range strings.Split(list, ",") {
		u, f := parseUser(word)
		if f == nil {
			r.Rescue = append(r.Rescue, u)
		} else if wrong == nil {
			wrong = &fault{"rescue: " + f.message, f.hint}
		}
	}
	return wrong
}

// readRequire keeps the paths that are right even if others are not.
func readRequire(r *argsReader, list string) *fault {
	r.HasRequire = true
	var wrong *fault
	for _, word := range strings.Split(list, ",") {
		t, f := parsePolydirPath(word, widest(word))
		if f == nil {
			r.Require = append(r.Require, t)
		} else if wrong == nil {
			wrong = &fault{"require: " + f.message, f.hint}
		}
	}
	return wrong
}
