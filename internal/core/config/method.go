package config

import (
	"fmt"
	"slices"
	"strings"
)

// Method says what covers a polydir, and what an instance is named after.
type Method string

// The values of Method. Those from MethodProc on make no instance: what stands at
// the path is the kernel's, nothing, or there already.
const (
	MethodUser    Method = "user"    // a persistent directory per user
	MethodLevel   Method = "level"   // per user and MLS/MCS level
	MethodContext Method = "context" // per user and security context
	MethodTmpdir  Method = "tmpdir"  // a fresh directory per session, removed after it
	MethodTmpfs   Method = "tmpfs"   // a fresh tmpfs per session
	MethodOverlay Method = "overlay" // the public directory with the user's changes over it
	MethodProc    Method = "proc"    // a procfs of the session's own
	MethodHidden  Method = "hidden"  // an empty directory or file that nobody but root can enter or read
	MethodSame    Method = "same"    // the public directory or file itself, with other mount options
	MethodBind    Method = "bind"    // another directory or file
)

var methodWords = []string{"user", "level", "context", "tmpdir", "tmpfs", "overlay", "proc", "hidden", "same", "bind"}

// InParent reports whether the polydir's instances lie in an instance parent.
func (p *Polydir) InParent() bool {
	switch p.Method {
	case MethodUser, MethodLevel, MethodContext, MethodTmpdir:
		return true
	case MethodOverlay:
		return p.Prefix != "" // else the changes lie in a tmpfs
	}
	return false
}

// Fresh reports whether each session gets a directory of its own in the instance
// parent, which is removed after it.
func (p *Polydir) Fresh() bool {
	return p.Method == MethodTmpdir || p.Method == MethodOverlay && p.InParent() && p.DropChanges
}

// Ends reports whether what the user does in the polydir ends with the session.
func (p *Polydir) Ends() bool {
	return p.Fresh() || p.Method == MethodTmpfs || p.Method == MethodOverlay && p.DropChanges
}

// MakesDirectory reports whether the method makes a directory for the session,
// which gets the polydir's owner, group, mode and label.
func (p *Polydir) MakesDirectory() bool {
	return p.InParent() || p.Method == MethodTmpfs || p.Method == MethodOverlay
}

// KeepsOwn reports whether keep names entries of the session's user.
func (p *Polydir) KeepsOwn() bool { return slices.ContainsFunc(p.Keep, OwnEntry) }

// Files reports whether the method covers files as well as directories.
func (m Method) Files() bool {
	return m == MethodHidden || m == MethodSame || m == MethodBind
}

// ofAll are the keys that are of use to every method.
var ofAll = []string{"path", "method", "except", "only", "services", "mount_options"}

// uses are, of the methods without an instance, the keys that they have a use
// for beside ofAll, and why not for the others.
var uses = map[Method]struct {
	keys []string
	why  string
}{
	MethodProc:   {[]string{"proc"}, "a procfs holds what the kernel puts there"},
	MethodHidden: {nil, "nothing is there"},
	MethodSame:   {nil, "it shows what the public directory has"},
	MethodBind:   {[]string{"source", "create"}, "it shows what source has"},
}

// keyOf are the keys that are of use to one method alone.
var keyOf = map[string]struct {
	method Method
	why    string
}{
	"keep_changes": {MethodOverlay, "nothing lies beneath its instances"},
	"proc":         {MethodProc, `only method "proc" mounts one`},
	"source":       {MethodBind, `only method "bind" shows another directory`},
}

// useless says why a method has no use for a key; "" where it has one. An
// unknown method is its own problem.
func useless(m Method, key string) string {
	if m == "" || slices.Contains(ofAll, key) && !(m == MethodHidden && key == "mount_options") {
		return ""
	}
	if one, ok := keyOf[key]; ok {
		if m != one.method {
			return one.why
		}
		return ""
	}
	switch {
	case m == MethodOverlay:
		return uselessToOverlay[key]
	case key == "tmpfs" && m != MethodTmpfs:
		return `only instances of method "tmpfs" are one`
	}
	if of, ok := uses[m]; ok {
		switch {
		case slices.Contains(of.keys, key):
			return ""
		case m == MethodHidden && key == "mount_options":
			return "nobody can enter it"
		case m == MethodHidden && key == "keep":
			return `method "tmpfs" shows an empty directory with some entries`
		}
		return of.why
	}
	switch key {
	case "shared", "without_context":
		if m != MethodLevel && m != MethodContext {
			return "no security context is in its instances' names"
		}
	case "instance_name", "hash_names":
		if m == MethodTmpdir {
			return "its instances have random names"
		}
		if m == MethodTmpfs {
			return "its instances have no names"
		}
	case "instance_prefix", "parent_mode", "parent_in_unsafe_dir", "allow_network_fs":
		if m == MethodTmpfs {
			return "its instances have no instance parent"
		}
	case "quota":
		if m == MethodTmpfs {
			return "tmpfs.size and tmpfs.inodes limit a tmpfs"
		}
	}
	return ""
}

// uselessToOverlay are the keys that an overlay has no use for.
var uselessToOverlay = map[string]string{
	"keep":             "it shows what the public directory has",
	"skel":             "it begins with what the public directory has",
	"shared":           "no security context is in its instances' names",
	"without_context":  "no security context is in its instances' names",
	"allow_network_fs": "the changes are never on a network filesystem",
}

// checkOverlay refuses contradictions in where an overlay's changes lie.
func checkOverlay(p *Polydir, refuse func(key, why string)) {
	if p.Method != MethodOverlay {
		return
	}
	switch inTmpfs := isSet(p.KeyPos, "tmpfs"); {
	case inTmpfs && p.Prefix != "":
		refuse("tmpfs", "contradicts instance_prefix, which also says where the changes lie")
	case inTmpfs && !p.DropChanges:
		refuse("tmpfs", "what is in a tmpfs is thrown away: that needs keep_changes = false")
	case inTmpfs && p.Tmpfs.Size == 0 && p.Tmpfs.SizePct == 0:
		refuse("tmpfs", "an overlay's tmpfs needs a size")
	case inTmpfs && p.Tmpfs.HasMode:
		refuse("tmpfs.mode", "the public directory's mode is what is seen")
	}
	for _, key := range []string{"instance_prefix", "parent_mode", "parent_in_unsafe_dir", "instance_name", "hash_names", "quota"} {
		why := useless(MethodTmpfs, key)
		if p.Prefix != "" && p.DropChanges {
			why = useless(MethodTmpdir, key)
		} else if p.Prefix != "" {
			why = ""
		}
		if isSet(p.KeyPos, key) && why != "" {
			refuse(key, "with keep_changes = false: "+why)
		}
	}
	if p.Prefix != "" && strings.HasPrefix(string(p.Prefix.Parent())+"/", string(p.Path)+"/") {
		refuse("instance_prefix", "the instance parent lies in the polydir, and an overlay cannot hold its own changes: want a place outside of it such as \"/var/lib/polyinst/home/\"")
	}
}

// needs are the keys without a default that a method cannot do without, each
// with what to write.
func needs(m Method) [][2]string {
	p := Polydir{Method: m}
	switch {
	case p.InParent():
		return [][2]string{{"instance_prefix", `instance_prefix = "/var/lib/polyinst/tmp/"`}}
	case m == MethodOverlay:
		return [][2]string{{"instance_prefix", `instance_prefix = "/var/lib/polyinst/home/"`}}
	case m == MethodSame:
		return [][2]string{{"mount_options", `mount_options = ["ro"]`}}
	case m == MethodBind:
		return [][2]string{{"source", `source = "/srv/scratch/$USER"`}}
	}
	return nil
}

// HidePID says what a procfs shows of other users' processes (proc(5)).
type HidePID string

// The values of HidePID.
const (
	HideInvisible HidePID = "invisible" // nothing, not even that they exist
	HideNoAccess  HidePID = "noaccess"  // their ids
)

// Proc is the proc key.
type Proc struct {
	HidePID HidePID
	Group   string // that sees every process; empty: the kernel's default, group 0
}

var procFields = []field[Proc]{
	{"hidepid", func(p *Proc, v value) {
		if w, ok := v.oneOf([]string{string(HideInvisible), string(HideNoAccess)}); ok {
			p.HidePID = HidePID(w)
		}
	}},
	{"gid", func(p *Proc, v value) { v.checked(&p.Group, `gid = "proc"`, plainName) }},
}

// parseSource reads what method "bind" shows.
func parseSource(s string) (Template, *fault) {
	if f := checkPath(s); f != nil {
		return "", f
	}
	if s == "/" {
		return "", faulty("the root directory cannot be shown at another place")
	}
	if s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return Template(s), nil
}

// checkMethodPath refuses paths that a method is not for.
func checkMethodPath(m Method, path Template) *fault {
	if m == MethodProc && path != "" && path != procPath {
		return &fault{fmt.Sprintf("method %q is for %q alone", m, procPath), didYouMean(procPath)}
	}
	return nil
}

// procPath is where programs look for the procfs.
const procPath = "/proc"
