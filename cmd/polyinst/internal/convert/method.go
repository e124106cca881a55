package convert

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pam_polyinst/internal/core/config"
)

// read makes the table from the fields of its line.
func (t *table) read(fields []string) {
	if len(fields) < 3 {
		t.refuse("%d of at least three fields: with it pam_namespace denies every session (or, under ignore_config_error, leaves the polydir public)", len(fields))
		return
	}
	if !utf8.ValidString(strings.Join(fields, "")) {
		t.refuse("the line is not UTF-8, which our language must be")
		return
	}
	words := strings.FieldsFunc(fields[2], func(r rune) bool { return r == ':' })
	t.readPath(fields[0])
	if !t.readMethod(words) {
		return
	}
	t.shared = slices.Contains(words[1:], "shared")
	t.readPrefix(fields[1])
	t.set("method", tomlString(string(t.method)))
	t.readFlags(words[1:])
	if len(fields) > 3 {
		t.readUsers(fields[3])
	}
	if len(fields) > 4 {
		t.remark("", "pam_namespace ignores all behind the fourth field: %s", quote(strings.Join(fields[4:], " ")))
	}
	t.check()
}

// check asks our own language about the table, which has rules that pam_namespace
// has not.
func (t *table) check() {
	if len(t.refusals) > 0 {
		return
	}
	var b strings.Builder
	t.render(&b)
	_, problems := config.Parse(config.Source{Name: t.file, Data: []byte(b.String())}, nil)
	for _, p := range problems {
		text := p.Message
		if p.Hint != "" {
			text += " (" + p.Hint + ")"
		}
		t.refuse("our language refuses it: %s", text)
	}
}

func (t *table) readMethod(words []string) bool {
	if len(words) == 0 {
		t.refuse("no method")
		return false
	}
	switch m := config.Method(words[0]); m {
	case config.MethodUser, config.MethodLevel, config.MethodContext, config.MethodTmpdir, config.MethodTmpfs:
		t.method = m
		return true
	}
	t.refuse("unknown method %s: with it pam_namespace denies every session (or, under ignore_config_error, leaves the polydir public)", quote(words[0]))
	return false
}

// flags are what stands behind the method.
type flags struct {
	create  *string // what stands behind create=; nil: no create
	script  string  // what stands behind iscript=
	noinit  bool
	shared  bool
	mntopts string
}

func (t *table) readFlags(words []string) {
	var f flags
	for _, w := range words {
		t.readFlag(&f, w)
	}
	t.context(f.shared)
	if f.create != nil {
		t.create(*f.create)
	}
	if t.method == config.MethodTmpfs {
		t.tmpfs(f.mntopts)
	} else {
		t.defaultFlags = true
		t.comment("mount_options", "mount_options: nosuid and nodev, our default; pam_namespace sets neither")
		if f.mntopts != "" {
			t.remark("mount_options", "mntopts=%s is left out: pam_namespace has no use for it with method %s", f.mntopts, t.method)
		}
	}
	if t.method == config.MethodTmpdir {
		t.comment("method", "pam_namespace leaves the directory behind unless it is called with unmount_on_close; we remove it with the session")
	}
	t.init(f)
}

// readFlag reads one flag. pam_namespace takes for a flag whatever begins with the
// flag's name, and ignores all other words; both are likely to be slips.
func (t *table) readFlag(f *flags, word string) {
	name, value, valued := strings.Cut(word, "=")
	switch name {
	case "create":
		if f.create != nil {
			t.remark("create", "create is there more than once: pam_namespace uses the last one")
		}
		f.create = &value
	case "iscript":
		if value == "" {
			t.remark("init", "%s names no script: pam_namespace ignores it", quote(word))
			return
		}
		f.script = value
	case "mntopts":
		if !valued {
			t.remark("mount_options", "mntopts without options: pam_namespace ignores it")
			return
		}
		f.mntopts = value
	case "noinit", "shared":
		if valued {
			t.refuse("flag %s: pam_namespace takes it for %s, whatever stands behind: write %s, or leave it out", quote(word), name, name)
			return
		}
		f.noinit = f.noinit || name == "noinit"
		f.shared = f.shared || name == "shared"
	default:
		t.oddFlag(word)
	}
}

func (t *table) oddFlag(word string) {
	for _, name := range []string{"create", "noinit", "iscript", "shared", "mntopts"} {
		if strings.HasPrefix(word, name) {
			t.refuse("flag %s: pam_namespace takes it for %s, because it begins so: write %s, or leave it out", quote(word), name, name)
			return
		}
	}
	t.refuse("unknown flag %s: pam_namespace ignores it without a word, so what it was to do was never done: correct it, or leave it out", quote(word))
}

// context writes what level and context need.
func (t *table) context(shared bool) {
	if t.method != config.MethodLevel && t.method != config.MethodContext {
		if shared {
			t.remark("method", "shared is left out: it has no meaning with method %s, to pam_namespace neither", t.method)
		}
		return
	}
	t.set("without_context", `"user"`)
	t.comment("without_context", "without a security context pam_namespace falls back to method user silently; \"refuse\" would be safer")
	if !shared {
		return
	}
	t.set("shared", "true")
	t.remark("without_context", "without a security context pam_namespace gives a session the public directory, because of shared; we give it an instance of the user's")
}

// namespaceD is where pam_namespace looks for scripts with a relative path, whatever
// vendor directory it has.
const namespaceD = "/etc/security/namespace.d/"

// init writes the script that pam_namespace would run.
func (t *table) init(f flags) {
	path := t.c.facts.InitScript
	if f.script != "" {
		path = f.script
		if path[0] != '/' {
			path = namespaceD + path
		}
	}
	if f.noinit {
		if f.script != "" {
			t.remark("init", "iscript=%s is left out: with noinit pam_namespace runs no script", f.script)
		}
		return
	}
	if path == "" {
		return
	}
	switch t.c.facts.script(path) {
	case ScriptAbsent:
		t.remark("init", "the script %s does not exist: pam_namespace runs none until it does, then it will; we would refuse, so init is left out", quote(path))
		return
	case ScriptNotExecutable:
		t.refuse("the script %s is not executable, for which pam_namespace denies every session: chmod it, remove it, or write noinit", quote(path))
	}
	t.set("init", tomlString(path))
	t.set("init_when", `"always"`)
}

// create writes the create key from MODE,OWNER,GROUP.
func (t *table) create(value string) {
	parts := append(strings.SplitN(value, ",", 3), "", "")
	mode, owner, group := parts[0], parts[1], parts[2]
	keys := []string{"mode = " + tomlString(t.createMode(mode))}
	if owner != "" {
		keys = append(keys, "owner = "+tomlString(t.createName("owner", owner)))
	}
	if group != "" {
		keys = append(keys, "group = "+tomlString(t.createName("group", group)))
	}
	t.set("create", "{ "+strings.Join(keys, ", ")+" }")
}

// createName checks the name of an owner or a group, without which pam_namespace
// denies every session.
func (t *table) createName(what, name string) string {
	answer := Unknown
	if what == "owner" {
		_, answer = t.c.facts.account(name)
	} else {
		answer = t.c.facts.group(name)
	}
	if answer == Absent {
		t.refuse("create: there is no %s %s, for which pam_namespace denies every session", what, quote(name))
	}
	return strings.ReplaceAll(name, "$", "$$")
}

// usualMode is pam_namespace's 0777 less the umask that almost every host has.
const usualMode = 0o755

// createMode is the mode that pam_namespace gives to a polydir that it makes.
func (t *table) createMode(text string) string {
	if text == "" {
		t.remark("create", "no mode: pam_namespace takes 0777 less the umask of the program that opens the session; this is 0755, for an umask of 022")
		return octal(usualMode)
	}
	n, fine := strtoul(text)
	if !fine {
		t.refuse("create: mode %s: what pam_namespace makes of it depends on its C library: write an octal mode", quote(text))
	}
	if uint32(n) == 1<<32-1 {
		t.remark("create", "the mode %s is pam_namespace's number for none: it takes 0777 less the umask, 0755 for an umask of 022", quote(text))
		return octal(usualMode)
	}
	mode := octal(uint32(n) & 0o7777)
	if strings.TrimLeft(mode, "0") != strings.TrimLeft(text, "0") {
		t.remark("create", "pam_namespace reads the mode %s as C writes numbers, decimal without a leading 0, so that its polydirs have %s; if %s was meant, correct it here", quote(text), mode, quote(text))
	}
	return mode
}

func octal(mode uint32) string { return fmt.Sprintf("%04o", mode) }

// strtoul is strtoul(3) with base 0 and 64 bits: white space, a sign, then
// digits to the first that is none; too large a number is the largest. fine is
// false for a binary number, which only newer C libraries read.
func strtoul(s string) (n uint64, fine bool) {
	s = strings.TrimLeft(s, space)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	base, digits := uint64(10), s
	lower := strings.ToLower(s)
	switch {
	case strings.HasPrefix(lower, "0x") && len(s) > 2 && digit(s[2]) < 16:
		base, digits = 16, s[2:]
	case strings.HasPrefix(lower, "0b") && len(s) > 2 && digit(s[2]) < 2:
		return 0, false
	case strings.HasPrefix(s, "0"):
		base = 8
	}
	for i := 0; i < len(digits) && digit(digits[i]) < base; i++ {
		d := digit(digits[i])
		if n > (1<<64-1-d)/base {
			return 1<<64 - 1, true
		}
		n = n*base + d
	}
	if negative {
		n = -n
	}
	return n, true
}

// digit is the value of a digit in base 16, or 99.
func digit(c byte) uint64 {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0')
	case 'a' <= c && c <= 'f':
		return uint64(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return uint64(c-'A') + 10
	}
	return 99
}
