package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/core/layout"
)

// checkComponents checks each component of a path, which may begin and end in
// one slash.
func checkComponents(path string) *fault {
	if hasControl(path) {
		return faulty(fmt.Sprintf("%q holds a control character", path))
	}
	if path == "/" {
		return nil
	}
	inside := strings.TrimPrefix(strings.TrimSuffix(path, "/"), "/")
	for _, c := range strings.Split(inside, "/") {
		switch c {
		case "..", ".":
			return faulty(fmt.Sprintf("component %q in %q", c, path))
		case "":
			return faulty(fmt.Sprintf("\"//\" in %q", path))
		}
	}
	return nil
}

// written adds to a fault of a path's components the way out for one that
// somebody wrote.
func written(f *fault) *fault {
	if f != nil && !strings.Contains(f.message, "control character") {
		f.hint = "write the path without that"
	}
	return f
}

// checkPath checks the rules that path and instance_prefix share.
func checkPath(s string) *fault {
	if s == "" {
		return faulty("empty path")
	}
	if len(s) > maxPath {
		return faulty(fmt.Sprintf("%d bytes long, want at most %d", len(s), maxPath))
	}
	list, f := Template(s).pieces()
	if f != nil {
		return f
	}
	if list[0].variable != "HOME" && !strings.HasPrefix(list[0].text, "/") {
		rest, tilde := strings.CutPrefix(s, "~")
		switch {
		case tilde && (rest == "" || rest[0] == '/'):
			return &fault{fmt.Sprintf("%q is not absolute", s), "did you mean " + strconv.Quote("$HOME"+rest) + "?"}
		case tilde:
			return &fault{fmt.Sprintf("%q is not absolute", s), "write the whole path"}
		}
		return &fault{fmt.Sprintf("%q is not absolute", s), "did you mean " + strconv.Quote("/"+s) + "?"}
	}
	for _, p := range list[1:] {
		if p.variable == "HOME" {
			return faulty(fmt.Sprintf("$HOME inside %q, want it at the beginning", s))
		}
	}
	return written(checkComponents(s))
}

// parsePolydirPath reads the path of a polydir: a slash at its end goes.
func parsePolydirPath(s string, m Method) (Template, *fault) {
	if s == "/" {
		return "", faulty(CheckPolydirPath(s, m).Error())
	}
	if f := checkPath(s); f != nil {
		return "", f
	}
	s = strings.TrimSuffix(s, "/")
	if err := CheckPolydirPath(s, m); err != nil {
		return "", faulty(err.Error())
	}
	return Template(s), nil
}

// CheckRequired refuses directories that no method can cover, so that nobody could
// be given them.
func CheckRequired(path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%q: want an absolute path", path)
	}
	return CheckPolydirPath(path, widest(path))
}

// widest is the method that may cover a path, if any may.
func widest(path string) Method {
	if path == procPath {
		return MethodProc
	}
	return MethodSame
}

// CheckPolydirPath refuses directories that the whole system lives from, which
// no session can have an instance of. What a method shows of them can be no
// instance: the directory itself, or for /proc another procfs. Parse calls it for
// the text of a path; a path with variables must be checked once more when it is
// expanded, since accounts of the system have homes such as /dev or /bin.
func CheckPolydirPath(path string, m Method) error {
	switch {
	case path == "/":
		return errors.New("the root directory cannot be a polydir")
	case path == procPath && m == MethodProc:
		return nil
	case path == procPath:
		return fmt.Errorf("%q belongs to the kernel and cannot be a polydir, except with method \"proc\"", path)
	}
	for _, p := range []string{procPath, "/sys"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return fmt.Errorf("%q belongs to the kernel and cannot be a polydir", path)
		}
	}
	switch strings.TrimPrefix(path, "/usr") {
	case "", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/libexec":
		if m != MethodSame {
			return fmt.Errorf("%q holds the programs of the system and cannot be a polydir", path)
		}
	}
	switch path {
	case "/run", "/var/run", "/dev":
		return fmt.Errorf("%q is needed whole by the system and cannot be a polydir", path)
	case "/etc":
		if m != MethodSame {
			return fmt.Errorf("%q is needed whole by the system and cannot be a polydir", path)
		}
	case "/boot":
		if m != MethodSame && m != MethodHidden {
			return fmt.Errorf("%q is needed whole by the system and cannot be a polydir", path)
		}
	}
	return nil
}

// parsePrefix reads an instance prefix: what stands before the last slash is
// the instance parent, what stands behind it begins each instance's name.
func parsePrefix(s string) (Template, *fault) {
	if f := checkPath(s); f != nil {
		return "", f
	}
	slash := strings.LastIndexByte(s, '/')
	if slash < 0 {
		return "", &fault{fmt.Sprintf("%q has no \"/\" behind the instance parent", s), didYouMean(s + "/")}
	}
	if slash == 0 {
		return "", &fault{fmt.Sprintf("%q makes the root directory the instance parent", s), "write one such as \"/var/lib/polyinst/tmp/\""}
	}
	name := s[slash+1:]
	for _, reserved := range layout.Reserved {
		if strings.HasPrefix(name, reserved) {
			return "", &fault{fmt.Sprintf("names that begin with %q are reserved", reserved), "choose another one"}
		}
	}
	return Template(s), nil
}

// Parent is the instance parent that an instance prefix names: all before the
// last slash. It works on a prefix before and after its expansion.
func (t Template) Parent() Template {
	return t[:max(0, strings.LastIndexByte(string(t), '/'))]
}

// parseInit reads the path of an init script, absolute or relative.
func parseInit(s string) *fault {
	switch {
	case s == "":
		return &fault{"empty path", "leave the key out for no init script"}
	case len(s) > maxPath:
		return faulty(fmt.Sprintf("%d bytes long, want at most %d", len(s), maxPath))
	case strings.HasSuffix(s, "/"):
		return faulty(fmt.Sprintf("%q is a directory, want a script", s))
	}
	return written(checkComponents(s))
}
