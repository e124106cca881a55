package config

import (
	"fmt"
	"strings"
	"time"
)

const (
	defaultInitTimeout = 10 * time.Second
	defaultCreateMode  = 0o700
)

func defaultPolydir() Polydir {
	return Polydir{
		KeyPos:         map[string]Position{},
		MountOptions:   NoSuid | NoDev,
		WithoutContext: WithoutContextRefuse,
		InstanceName:   ByUser,
		InitWhen:       InitNew,
		InitTimeout:    defaultInitTimeout,
		Proc:           Proc{HidePID: HideInvisible},
	}
}

var polydirFields = []field[Polydir]{
	{"path", func(p *Polydir, v value) {
		// "method" has been read: the keys come in alphabetical order
		v.template(&p.Path, `path = "/tmp"`, func(s string) (Template, *fault) { return parsePolydirPath(s, p.Method) })
	}},
	{"instance_prefix", func(p *Polydir, v value) {
		v.template(&p.Prefix, `instance_prefix = "/var/lib/polyinst/tmp/"`, parsePrefix)
	}},
	{"method", func(p *Polydir, v value) {
		if w, ok := v.oneOf(methodWords); ok {
			p.Method = Method(w)
		}
	}},
	{"except", func(p *Polydir, v value) { p.Except, _ = v.users() }},
	{"only", func(p *Polydir, v value) {
		p.Only, _ = v.users()
		v.notEmpty("it would apply to nobody")
	}},
	{"services", func(p *Polydir, v value) {
		p.Services = v.namesOf(`services = ["sshd", "login"]`, plainName)
		v.notEmpty("it would apply to no service")
	}},
	{"mount_options", func(p *Polydir, v value) { p.MountOptions = v.mountFlags() }},
	{"keep", func(p *Polydir, v value) {
		p.Keep = v.namesOf(`keep = [".X11-unix"]`, keptName)
	}},
	{"keep_changes", func(p *Polydir, v value) {
		keeps := true
		v.boolean(&keeps)
		p.DropChanges = !keeps
	}},
	{"tmpfs", func(p *Polydir, v value) {
		p.Tmpfs.Set = under(v, `tmpfs = { size = "1G" }`, tmpfsFields, &p.Tmpfs, p.at)
	}},
	{"proc", func(p *Polydir, v value) {
		under(v, `proc = { hidepid = "noaccess" }`, procFields, &p.Proc, p.at)
	}},
	{"source", func(p *Polydir, v value) {
		v.template(&p.Source, `source = "/srv/scratch/$USER"`, parseSource)
	}},
	{"create", readCreate},
	{"skel", func(p *Polydir, v value) { v.boolean(&p.Skel) }},
	{"quota", func(p *Polydir, v value) {
		under(v, `quota = { bytes = "10G" }`, quotaFields, &p.Quota, p.at)
	}},
	{"shared", func(p *Polydir, v value) { v.boolean(&p.Shared) }},
	{"without_context", func(p *Polydir, v value) {
		if w, ok := v.oneOf([]string{"refuse", "user"}); ok {
			p.WithoutContext = WithoutContext(w)
		}
	}},
	{"instance_name", func(p *Polydir, v value) {
		if w, ok := v.oneOf([]string{"$USER", "$UID"}); ok {
			p.InstanceName = InstanceName(w)
		}
	}},
	{"hash_names", func(p *Polydir, v value) { v.boolean(&p.HashNames) }},
	{"init", func(p *Polydir, v value) { v.checked(&p.Init, `init = "home.init"`, parseInit) }},
	{"init_when", func(p *Polydir, v value) {
		if w, ok := v.oneOf([]string{"new", "always"}); ok {
			p.InitWhen = InitWhen(w)
		}
	}},
	{"init_timeout", func(p *Polydir, v value) { v.duration(&p.InitTimeout, 1) }},
	{"parent_in_unsafe_dir", func(p *Polydir, v value) { v.boolean(&p.ParentInUnsafeDir) }},
	{"allow_network_fs", func(p *Polydir, v value) { v.boolean(&p.AllowNetworkFS) }},
	{"parent_mode", func(p *Polydir, v value) {
		if p.ParentModeAny = v.raw == "any"; !p.ParentModeAny {
			v.mode(&p.ParentMode, `parent_mode = "0000" or parent_mode = "any"`)
		}
	}},
}

var tmpfsFields = []field[Tmpfs]{
	{"size", readTmpfsSize},
	{"inodes", func(t *Tmpfs, v value) {
		if v.raw == int64(0) {
			v.refuse(&fault{"0 means no limit to the kernel", "leave the key out for the kernel's default"})
			return
		}
		v.count("inodes = 100000", &t.Inodes)
	}},
	{"mode", func(t *Tmpfs, v value) { t.HasMode = v.mode(&t.Mode, `mode = "1777"`) }},
	{"noswap", func(t *Tmpfs, v value) { v.boolean(&t.NoSwap) }},
}

var quotaFields = []field[Quota]{
	{"bytes", func(q *Quota, v value) { v.size(&q.Bytes, `bytes = "10G"`) }},
	{"inodes", func(q *Quota, v value) { v.count("inodes = 100000", &q.Inodes) }},
}

var createFields = []field[Create]{
	{"mode", func(c *Create, v value) { v.mode(&c.Mode, `mode = "0700"`) }},
	{"owner", func(c *Create, v value) { v.template(&c.Owner, `owner = "$USER"`, parseOwner) }},
	{"group", func(c *Create, v value) { v.template(&c.Group, `group = "$USER"`, parseOwner) }},
}

// at notes where a key stands.
func (p *Polydir) at(key string, pos Position) { p.KeyPos[key] = pos }

func readCreate(p *Polydir, v value) {
	c := Create{Mode: defaultCreateMode, Owner: "$USER", Pos: v.pos()}
	if table, ok := v.raw.(map[string]any); ok && len(table) == 0 {
		p.Create = &c // every key has a default
		return
	}
	if under(v, `create = { mode = "0700" }`, createFields, &c, p.at) {
		p.Create = &c
	}
}

func readTmpfsSize(t *Tmpfs, v value) {
	if s, ok := v.raw.(string); ok {
		if pct, ok, f := parsePercent(s); ok {
			if t.SizePct = pct; f != nil {
				v.refuse(f)
			}
			return
		}
	}
	if v.size(&t.Size, `size = "1G"`) && t.Size == 0 {
		v.refuse(&fault{"0 means no limit to the kernel", "leave the key out for the kernel's default"})
	}
}

// parsed reads a string through parse.
func parsed[T any](v value, to *T, example string, parse func(string) (T, *fault)) bool {
	s, ok := v.text(example)
	if !ok {
		return false
	}
	got, f := parse(s)
	if f != nil {
		v.refuse(f)
		return false
	}
	*to = got
	return true
}

// template reads a string with variables through parse.
func (v value) template(to *Template, example string, parse func(string) (Template, *fault)) {
	parsed(v, to, example, parse)
}

// checked reads a string that check accepts.
func (v value) checked(to *string, example string, check func(string) *fault) {
	parsed(v, to, example, func(s string) (string, *fault) { return s, check(s) })
}

// parseOwner reads the name of an account or group, which may hold $USER.
func parseOwner(s string) (Template, *fault) {
	list, f := Template(s).pieces()
	if f != nil {
		return "", f
	}
	for _, p := range list {
		if p.variable != "" && p.variable != "USER" {
			return "", &fault{fmt.Sprintf("$%s is no name", p.variable), didYouMean("$USER")}
		}
	}
	if s != "" && allDigits(s) {
		return "", faulty(fmt.Sprintf("%q is a number, want a name", s))
	}
	if f := plainName(s); f != nil {
		return "", f
	}
	return Template(s), nil
}

func (v value) mode(to *uint32, example string) bool {
	return parsed(v, to, example, parseMode)
}

// size reads a string such as "1G" or an integer of bytes.
func (v value) size(to *uint64, example string) bool {
	if n, ok := v.raw.(int64); ok {
		v.count(example, to)
		return n >= 0
	}
	s, ok := v.raw.(string)
	if !ok {
		v.wrongType("a string or an integer of bytes", example)
		return false
	}
	n, f := parseSize(s)
	if f != nil {
		v.refuse(f)
		return false
	}
	*to = n
	return true
}

// namesOf reads a list of names that check accepts.
func (v value) namesOf(example string, check func(string) *fault) []string {
	var list []string
	elems, _ := v.list(example)
	for _, e := range elems {
		s := e.raw.(string)
		if f := check(s); f != nil {
			e.refuse(f)
			continue
		}
		list = append(list, s)
	}
	return list
}

func (v value) notEmpty(why string) {
	if l, ok := anySlice(v.raw); ok && len(l) == 0 {
		v.refuse(&fault{"empty list: " + why, "leave the key out"})
	}
}

func (v value) mountFlags() MountFlags {
	var flags MountFlags
	elems, _ := v.list(`mount_options = ["nosuid", "nodev"]`)
	for _, e := range elems {
		word := e.raw.(string)
		flag, ok := mountFlag(word)
		if !ok {
			e.refuse(unknownMountOption(word))
			continue
		}
		flags |= flag
	}
	return flags
}

// mountWords are in the order of the bits of MountFlags.
var mountWords = []string{"nosuid", "nodev", "noexec", "nosymfollow", "ro"}

func mountFlag(word string) (MountFlags, bool) {
	for i, w := range mountWords {
		if w == word {
			return 1 << i, true
		}
	}
	return 0, false
}

func unknownMountOption(word string) *fault {
	f := &fault{message: fmt.Sprintf("unknown value %q, want some of %s", word, commas(mountWords))}
	switch word {
	case "suid", "dev", "exec", "symfollow":
		f.hint = fmt.Sprintf("leave out %q instead", "no"+word)
	case "rw":
		f.hint = `leave out "ro" instead`
	default:
		f.hint = suggest(word, mountWords)
	}
	return f
}

// String lists the options as mount_options does, joined with commas.
func (m MountFlags) String() string {
	var words []string
	for i, w := range mountWords {
		if m&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return strings.Join(words, ",")
}

// readPolydir reads one [[polydir]] table.
func readPolydir(f *file, raw any, n *node) Polydir {
	s := &section{file: f}
	p := defaultPolydir()
	p.Pos = f.lines.at(n.off)
	table, ok := raw.(map[string]any)
	if !ok {
		s.refuse(n, faulty("polydir: found "+typeName(raw)+", want a table"))
		return p
	}
	s.polydir, _ = table["path"].(string)
	readTable(s, "", table, n, polydirFields, &p, p.at)
	checkMissing(s, n, table, p.Method)
	checkPolydir(s, n, &p)
	return p
}

// checkMissing refuses a polydir without the keys that have no default. What is
// there under a mistyped name, and what convert could not decide, is told already.
func checkMissing(s *section, n *node, table map[string]any, m Method) {
	if _, ok := table[Undecided]; ok {
		return
	}
	mistyped := map[string]bool{}
	for key := range table {
		if find(polydirFields, key) == nil {
			mistyped[meantKey(key, "", names(polydirFields))] = true
		}
	}
	missing := func(key, want string) {
		if _, ok := table[key]; !ok && !mistyped[key] {
			s.refuse(n, faulty(key+" is missing, want "+want))
		}
	}
	missing("path", `one such as path = "/tmp"`)
	missing("method", oneOfList(methodWords))
	if _, ok := table["tmpfs"]; ok && m == MethodOverlay {
		return // its changes lie there
	}
	for _, need := range needs(m) {
		missing(need[0], "one such as "+need[1])
	}
}

// checkPolydir refuses keys that contradict each other or that the method has
// no use for.
func checkPolydir(s *section, n *node, p *Polydir) {
	for _, f := range polydirFields {
		if !isSet(p.KeyPos, f.name) {
			continue
		}
		why := useless(p.Method, f.name)
		if f.name == "allow_network_fs" && p.KeepsOwn() && p.MakesDirectory() {
			why = "" // a home may lie on one
		}
		if why != "" {
			s.refuse(n.kid(f.name), faulty(fmt.Sprintf("%s: method %q has no use for it: %s", f.name, p.Method, why)))
		}
	}
	if f := checkMethodPath(p.Method, p.Path); f != nil {
		s.refuse(n.kid("path"), &fault{"path: " + f.message, f.hint})
	}
	has := func(key string) bool { return isSet(p.KeyPos, key) }
	contradiction := func(key, why string) { s.refuse(n.kid(key), faulty(key+": "+why)) }
	checkOverlay(p, contradiction)
	if has("except") && has("only") {
		contradiction("only", "contradicts except, which also says whom the polydir is for")
	}
	for _, key := range []string{"init_when", "init_timeout"} {
		if has(key) && !has("init") {
			contradiction(key, "there is no init script that it could speak of")
		}
	}
	// With without_context = "user" the instance may still bear the name.
	if p.Shared && has("instance_name") && p.WithoutContext != WithoutContextUser {
		contradiction("instance_name", "contradicts shared = true, which leaves the user out of the name")
	}
	if p.Prefix != "" && p.Prefix.Parent() == p.Path {
		contradiction("instance_prefix", "the instance parent is the polydir itself, want a place outside of it such as \"/var/lib/polyinst/tmp/\"")
	}
}
