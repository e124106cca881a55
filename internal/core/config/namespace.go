package config

import (
	"fmt"
	"strings"
	"time"
)

const (
	defaultTimeout = 30 * time.Second
	minTimeout     = time.Second
	maxTimeout     = 10 * time.Minute
)

// namespaceReader collects the [namespace] table.
type namespaceReader struct {
	Namespace
	unshare map[string]bool // what the unshare key lists; nil: it is absent
}

func defaultNamespace() Namespace {
	return Namespace{
		Scope:       ScopeSession,
		Propagation: PropagationSlave,
		Nested:      NestedReplace,
		Rescue:      UserList{{Kind: UserName, Name: "root"}},
		Timeout:     defaultTimeout,
		Set:         map[string]Position{},
	}
}

var namespaceFields = []field[namespaceReader]{
	{"scope", func(r *namespaceReader, v value) {
		if w, ok := v.oneOf([]string{"session", "user"}); ok {
			r.Scope = Scope(w)
		}
	}},
	{"propagation", func(r *namespaceReader, v value) {
		if w, ok := v.oneOf([]string{"slave", "private", "slave+shared"}); ok {
			r.Propagation = Propagation(w)
		}
	}},
	{"ipc", func(r *namespaceReader, v value) { v.private(&r.IPC) }},
	{"uts", func(r *namespaceReader, v value) { v.private(&r.UTS) }},
	{"network", readNetwork},
	{"nested", readNested},
	{"rescue", func(r *namespaceReader, v value) {
		if l, ok := v.users(); ok {
			r.Rescue = l
		}
	}},
	{"timeout", func(r *namespaceReader, v value) { v.duration(&r.Timeout, minTimeout) }},
	{"unshare", readUnshare},
	{"polydirs", func(r *namespaceReader, v value) { _, r.NoPolydirs = v.oneOf([]string{"none"}) }},
}

// nestedWords are the words of nested.
var nestedWords = []string{string(NestedReplace), string(NestedKeep), string(NestedEscape)}

// forAll is the key of nested's table for the services that it does not name.
const forAll = "default"

// readNested reads a word for all services, or a table of words by service.
func readNested(r *namespaceReader, v value) {
	table, ok := v.raw.(map[string]any)
	if !ok {
		if _, isWord := v.raw.(string); !isWord {
			v.wrongType("a string or a table", `nested = { sudo = "keep" }`)
			return
		}
		if w, ok := v.oneOf(nestedWords); ok {
			r.Nested = Nested(w)
		}
		return
	}
	if len(table) == 0 {
		v.refusef("empty, want %q or the name of a PAM service", forAll)
	}
	for _, service := range sortedKeys(table) {
		e := value{v.section, v.key + "." + service, table[service], v.node.kid(service)}
		if f := serviceOfNested(service); f != nil {
			v.section.refuse(e.node, &fault{v.key + ": " + f.message, f.hint})
			continue
		}
		w, ok := e.oneOf(nestedWords)
		switch {
		case !ok:
		case service == forAll:
			r.Nested = Nested(w)
		default:
			if r.NestedBy == nil {
				r.NestedBy = map[string]Nested{}
			}
			r.NestedBy[service] = Nested(w)
		}
		r.Set[e.key] = e.pos()
	}
}

// serviceOfNested refuses what is no name of a PAM service, and what was meant to
// be "default".
func serviceOfNested(name string) *fault {
	if name != forAll && Nearest(name, []string{forAll}) == forAll {
		return &fault{fmt.Sprintf("%q is no PAM service", name), didYouMean(forAll)}
	}
	if f := plainName(name); f != nil {
		return &fault{"PAM service: " + f.message, f.hint}
	}
	return nil
}

// private reads "shared" or "private".
func (v value) private(to *bool) {
	if w, ok := v.oneOf([]string{"shared", "private"}); ok {
		*to = w == "private"
	}
}

// namedNetwork begins the value of network that names a namespace.
const namedNetwork = "netns:"

// readNetwork reads "shared", "private", or the name of a network namespace.
func readNetwork(r *namespaceReader, v value) {
	s, _ := v.raw.(string)
	name, named := strings.CutPrefix(s, namedNetwork)
	if !named {
		if w, ok := v.oneOf([]string{"shared", "private", namedNetwork + "NAME"}); ok {
			r.Network = w == "private"
		}
		return
	}
	t, f := parseNetns(name)
	if f != nil {
		v.refuse(f)
		return
	}
	r.Network, r.Netns = true, t
}

// parseNetns reads the name of a network namespace, which may hold $USER and $UID.
func parseNetns(s string) (Template, *fault) {
	list, f := Template(s).pieces()
	if f != nil {
		return "", f
	}
	for _, p := range list {
		if p.variable == "HOME" {
			return "", &fault{"$HOME is no name", didYouMean("$USER")}
		}
	}
	if s == "" {
		return "", &fault{"no name behind \"netns:\"", `write one such as "netns:lab-$UID"`}
	}
	if f := plainName(s); f != nil {
		return "", f
	}
	return Template(s), nil
}

func (v value) duration(to *time.Duration, least time.Duration) {
	parsed(v, to, fmt.Sprintf("%s = %q", v.bareKey(), short(*to)), func(s string) (time.Duration, *fault) {
		return parseDuration(s, least, maxTimeout)
	})
}

// readNamespace reads the [namespace] table of the main file.
func readNamespace(f *file, raw any, n *node) Namespace {
	r := namespaceReader{Namespace: defaultNamespace()}
	s := &section{file: f, prefix: "namespace: "}
	table, ok := raw.(map[string]any)
	if !ok {
		s.refuse(n, &fault{"found " + typeName(raw) + ", want a table", "write [namespace] with single brackets"})
		return r.Namespace
	}
	readTable(s, "", table, n, namespaceFields, &r, func(key string, pos Position) { r.Set[key] = pos })
	r.mergeUnshare(s, table, n)
	return r.Namespace
}

// unshareWords are the words of the unshare key. "mount" goes without saying:
// there is no polydir without a mount namespace.
var unshareWords = []string{"mount", "ipc", "uts", "net"}

func readUnshare(r *namespaceReader, v value) {
	list, ok := v.list(`unshare = ["mount", "ipc"]`)
	if !ok {
		return
	}
	r.unshare = map[string]bool{}
	for _, e := range list {
		word := e.raw.(string)
		if f := checkUnshare(word); f != nil {
			e.refuse(f)
			continue
		}
		r.unshare[word] = true
		if key := keyOfUnshare(word); key != "" && !isSet(r.Set, key) {
			r.Set[key] = e.pos()
		}
	}
}

func isSet(set map[string]Position, key string) bool {
	_, ok := set[key]
	return ok
}

// keyOfUnshare is the key that a word of unshare stands for.
func keyOfUnshare(word string) string {
	switch word {
	case "ipc", "uts":
		return word
	case "net":
		return "network"
	}
	return ""
}

// checkUnshare refuses a word with the reason why a session cannot have it.
func checkUnshare(word string) *fault {
	for _, w := range unshareWords {
		if w == word {
			return nil
		}
	}
	flag := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(word), "clone_"), "new")
	f := func(why string) *fault { return faulty(fmt.Sprintf("%q %s", word, why)) }
	switch flag {
	case "fs":
		return f("is implied by \"mount\"")
	case "sysvsem":
		return f("is implied by \"ipc\"")
	case "files":
		return f("is possible but pointless: a session shares no descriptor table with another process")
	case "thread", "sighand", "vm":
		return f("speaks of the threads of one program, not of a session")
	case "pid":
		return f("would act on the children of the login program alone, whose first one would end the session of all others")
	case "user":
		return f("would take root's rights over the host from the login program")
	case "cgroup":
		return f("belongs to the service manager, which places sessions in their control groups")
	case "time":
		return f("would act on the children of the login program alone and serves checkpoints, not sessions")
	}
	return &fault{f("is no known namespace, want some of " + commas(unshareWords)).message, suggestUnshare(flag)}
}

func suggestUnshare(flag string) string {
	switch flag {
	case "ns", "mnt":
		return didYouMean("mount")
	case "network":
		return didYouMean("net")
	}
	return suggest(flag, unshareWords)
}

// mergeUnshare applies the unshare key and compares it with the keys that say
// the same.
func (r *namespaceReader) mergeUnshare(s *section, table map[string]any, n *node) {
	if r.unshare == nil {
		return
	}
	for _, u := range []struct {
		word, key string
		on        *bool
	}{{"ipc", "ipc", &r.IPC}, {"uts", "uts", &r.UTS}, {"net", "network", &r.Network}} {
		listed := r.unshare[u.word]
		switch said, _ := table[u.key].(string); {
		case said == "shared" && listed:
			s.refuse(n.kid(u.key), faulty(fmt.Sprintf("%s: \"shared\" contradicts unshare, which lists %q", u.key, u.word)))
		case said == "private" && !listed:
			s.refuse(n.kid(u.key), faulty(fmt.Sprintf("%s: \"private\" contradicts unshare, which does not list %q", u.key, u.word)))
		case strings.HasPrefix(said, namedNetwork) && listed:
			s.refuse(n.kid(u.key), faulty(fmt.Sprintf("%s: %q contradicts unshare, which makes a new one by %q", u.key, said, u.word)))
		}
		*u.on = *u.on || listed
	}
}
