package convert

import (
	"fmt"
	"slices"
	"strings"
)

// template writes a path of pam_namespace's in our language. pam_namespace knows $HOME
// and $USER, found wherever these letters follow a dollar sign; any other
// dollar sign is itself.
func (t *table) template(key, s string) string {
	var b strings.Builder
	for s != "" {
		text, after, found := strings.Cut(s, "$")
		b.WriteString(text)
		if !found {
			break
		}
		name := variable(after)
		switch {
		case name == "":
			b.WriteString("$$")
			t.remark(key, `pam_namespace has no variable here: in %s the dollar sign is itself, which we write "$$"`, quote("$"+after))
		case len(after) > len(name) && isWord(after[len(name)]):
			t.refuse(`pam_namespace reads %s as $%s with %s behind it, probably not what was meant; our language cannot say it`,
				quote("$"+after), name, quote(after[len(name):]))
			fallthrough
		default:
			b.WriteString("$" + name)
		}
		s = after[len(name):]
	}
	return b.String()
}

func variable(after string) string {
	for _, name := range []string{"HOME", "USER"} {
		if strings.HasPrefix(after, name) {
			return name
		}
	}
	return ""
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// readPath reads the first field.
func (t *table) readPath(field string) {
	if !t.checkPath("the polydir", field, true) {
		t.set("path", tomlString(field))
		return
	}
	t.path = clean(t.template("path", field))
	if t.path != strings.TrimSuffix(field, "/") && !strings.Contains(field, "$") {
		t.comment("path", "pam_namespace's file has %s, which is the same directory", quote(field))
	}
	t.set("path", tomlString(t.path))
}

// readPrefix reads the second field.
func (t *table) readPrefix(field string) {
	if t.method == "tmpfs" {
		t.checkPath("the instance prefix", field, false)
		if strings.HasPrefix(field, "/") {
			t.comment("method", "pam_namespace makes no use of %s: a tmpfs has no instance parent", quote(field))
		}
		return
	}
	if !t.checkPath("the instance prefix", field, true) {
		t.set("instance_prefix", tomlString(field))
		return
	}
	written := t.template("instance_prefix", field)
	slash := strings.LastIndexByte(written, '/')
	if slash < 0 { // $HOME alone; check has the words for it
		t.prefix = written
		t.set("instance_prefix", tomlString(written))
		return
	}
	parent, name := strings.TrimSuffix(clean(written[:slash]), "/"), written[slash+1:]
	t.prefix = parent + "/" + name
	if t.prefix != written {
		t.comment("instance_prefix", "pam_namespace's file has %s, which is the same", quote(field))
		if strings.Contains(field, "//") {
			t.remark("instance_prefix", `"//" in %s makes pam_namespace (seen with 1.5.2) deny every session; it is left out`, quote(field))
		}
	}
	if t.c.facts.Parents != "" {
		t.move(parent, name)
	}
	t.set("instance_prefix", tomlString(t.prefix))
	if name != "" {
		t.remark("instance_prefix", "no slash at the end: pam_namespace puts %s before the name of each instance, and so do we", quote(name))
	}
	t.unsafeParent()
}

// checkPath refuses what makes pam_namespace refuse a line, and with it everybody's
// session.
func (t *table) checkPath(what, field string, absolute bool) bool {
	const denied = "with it pam_namespace denies every session (or, under ignore_config_error, leaves the polydir public)"
	switch {
	case strings.Contains(field, ".."):
		t.refuse(`%s %s contains "..", if only in a name: %s`, what, quote(field), denied)
	case !absolute:
		return true
	case field == "" || strings.Trim(field, "/") == "" && what == "the polydir":
		t.refuse("%s %s is no directory that can be covered: %s", what, quote(field), denied)
	case field[0] != '/' && !strings.HasPrefix(field, "$HOME"):
		t.refuse("%s %s is not absolute: %s", what, quote(field), denied)
	default:
		return true
	}
	return false
}

// clean leaves out what makes no difference to where a path leads: repeated
// slashes, "." components, a slash at the end.
func clean(path string) string {
	absolute := strings.HasPrefix(path, "/")
	var kept []string
	for _, c := range strings.Split(path, "/") {
		if c != "" && c != "." {
			kept = append(kept, c)
		}
	}
	out := strings.Join(kept, "/")
	if absolute {
		out = "/" + out
	}
	return out
}

// parent is the instance parent of the table's prefix.
func (t *table) parent() string {
	return t.prefix[:max(0, strings.LastIndexByte(t.prefix, '/'))]
}

// unsafeParent permits the parent a directory where users can create names, which
// pam_namespace does without a word.
func (t *table) unsafeParent() {
	if strings.HasPrefix(t.prefix, "$HOME/") {
		t.set("parent_in_unsafe_dir", "true")
		t.remark("parent_in_unsafe_dir", "the instance parent %s is in the user's home directory, where they can rename it and put names beside it; a place below /var/lib/polyinst is better: --parents /var/lib/polyinst",
			quote(t.parent()))
		return
	}
	fixed, _, varies := strings.Cut(t.parent(), "$")
	if varies {
		fixed = fixed[:max(0, strings.LastIndexByte(fixed, '/'))]
	}
	if why := t.exposed(fixed); why != "" {
		t.set("parent_in_unsafe_dir", "true")
		t.remark("parent_in_unsafe_dir", "users can create names on the way to the instance parent %s (%s): polyinst prepare does not make it there, it must be root's with mode 0000 already; a place below /var/lib/polyinst is better: --parents /var/lib/polyinst",
			quote(t.parent()), why)
	}
}

// publicDirs are those in which every user can create names on any machine.
var publicDirs = []string{"/tmp", "/var/tmp", "/dev/shm"}

func (t *table) exposed(dir string) string {
	for _, public := range publicDirs {
		if inside(dir, public) {
			return public
		}
	}
	if t.c.facts.Exposed == nil || dir == "" || strings.ContainsRune(dir, 0) {
		return ""
	}
	return t.c.facts.Exposed(dir)
}

// inside reports whether path is dir or below it.
func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// relations compares the lines with each other.
func (c *converter) relations() {
	for i, later := range c.tables {
		for _, earlier := range c.tables[:i] {
			if earlier.path != "" && later.path != "" && bothApply(earlier, later) {
				compare(earlier, later)
			}
		}
	}
}

func compare(earlier, later *table) {
	where := fmt.Sprintf("%s:%d", earlier.file, earlier.line)
	switch {
	case earlier.path == later.path:
		later.refuse("%s has this polydir already, for some of the same users: pam_namespace mounts both, one on top of the other; keep the one that is meant (pam_namespace's sessions see this later one)", where)
	case inside(earlier.path, later.path):
		later.remark("path", "%s is inside it and stands before it: in pam_namespace's sessions this polydir hides that one, in ours both are there", where)
	}
	if later.prefix != "" && earlier.path != later.path && inside(later.parent(), earlier.path) {
		later.remark("instance_prefix", "the parent is inside the polydir of %s: pam_namespace finds, or makes, it inside each user's instance, we take the one in the host's view; instances that exist must be moved", where)
	}
}

// bothApply reports whether two lines can both apply to somebody.
func bothApply(a, b *table) bool {
	switch {
	case a.only != nil && b.only != nil:
		return len(without(a.only, b.only)) < len(a.only)
	case a.only != nil:
		return len(without(a.only, b.except)) > 0
	case b.only != nil:
		return len(without(b.only, a.except)) > 0
	}
	return true
}

// without are the elements of list that are not in other.
func without(list, other []string) []string {
	var left []string
	for _, s := range list {
		if !slices.Contains(other, s) {
			left = append(left, s)
		}
	}
	return left
}
