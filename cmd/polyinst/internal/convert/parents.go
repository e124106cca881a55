package convert

import (
	"cmp"
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
)

// move gives the table an instance parent below facts.Parents, and says how the
// instances in the old one follow.
func (t *table) move(old, name string) {
	parent := t.c.facts.Parents + "/" + t.c.parentName(t.path)
	perUser := strings.Contains(old, "$HOME") || strings.Contains(old, "$USER")
	if perUser && t.shared {
		parent += "/$USER" // in one directory they would be one
	}
	if old == parent {
		return
	}
	t.prefix = parent + "/" + name
	t.comment("instance_prefix", "pam_namespace's file has %s: --parents", quote(old+"/"+name))
	if t.method == config.MethodTmpdir {
		return // nothing in it outlives its session
	}
	t.c.remarks = append(t.c.remarks, Remark{File: t.file, Line: t.line, Text: fmt.Sprintf(
		"the instance parent is %s now; after `polyinst prepare`, while nobody is logged in, this takes the instances along, and none of it where the old parent is not root's with mode 0000: %s",
		quote(parent), follow(old, parent, name, perUser))})
}

// parentName is a name below facts.Parents for the instances of a polydir, for it
// alone: "var-tmp" for /var/tmp.
func (c *converter) parentName(path string) string {
	base := strings.Trim(strings.NewReplacer("$HOME", "home", "$USER", "user", "$$", "_", "/", "-").Replace(path), "-")
	if base == "" || base[0] == '.' {
		base = "dir" + base
	}
	name := base
	for n := 2; c.taken[name]; n++ {
		name = fmt.Sprint(base, "-", n)
	}
	c.taken[name] = true
	return name
}

// follow is a command of the shell that moves instances. It stands in the old
// parent, so that no other directory can replace it, before it looks whose it
// is: a user may have made the name, or a link.
func follow(old, parent, name string, perUser bool) string {
	from := shellWord(cmp.Or(old, "/"))
	move := fmt.Sprintf(`(cd -P %s && [ "$(pwd -P)" = %s ] && [ "$(stat -c %%u:%%a .)" = 0:0 ] && mv -n -t %s -- %s*)`,
		from, from, shellWord(parent), shellWord(name))
	if !perUser {
		return move
	}
	return "getent passwd | while IFS=: read -r u p n g c h s; do " + strings.Replace(move, " && [", " 2>/dev/null && [", 1) + "; done"
}

// shellWord writes a template as a word for the shell: $USER is $u there, $HOME
// is $h.
func shellWord(template string) string {
	var out, text strings.Builder
	end := func() {
		if text.Len() > 0 {
			out.WriteString(shellword.Quote(text.String()))
			text.Reset()
		}
	}
	for template != "" {
		switch {
		case strings.HasPrefix(template, "$HOME"):
			end()
			out.WriteString(`"$h"`)
			template = template[len("$HOME"):]
			continue
		case strings.HasPrefix(template, "$USER"):
			end()
			out.WriteString(`"$u"`)
			template = template[len("$USER"):]
			continue
		case strings.HasPrefix(template, "$$"):
			template = template[1:]
		}
		text.WriteByte(template[0])
		template = template[1:]
	}
	end()
	return out.String()
}
