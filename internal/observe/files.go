package observe

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/dirfd"
)

// Where the configuration lies; the build sets both (Makefile: SYSCONFDIR,
// VENDORDIR).
var (
	ConfigDir = "/etc/security/polyinst"
	VendorDir = "/usr/share/polyinst"
)

// InitDir is where init scripts with relative paths lie: the drop-ins' directory
// of the main file conf, empty for the default one.
func InitDir(conf string) string {
	if conf == "" {
		return ConfigDir + "/" + dropinDir
	}
	dir, _ := dirfd.Split(conf)
	return dir + "/" + dropinDir
}

const (
	mainFile  = "namespace.conf"
	dropinDir = "namespace.d"
	// sizeLimit of one file: nobody writes a megabyte by hand.
	sizeLimit = 1 << 20
)

// Files are the configuration files, read but not parsed.
type Files struct {
	Main    config.Source
	Dropins []config.Source
}

// All are the main file and the drop-ins.
func (f Files) All() []config.Source { return append([]config.Source{f.Main}, f.Dropins...) }

// ConfigFiles reads the configuration: the main file and the drop-ins in the order of
// their base names. If conf is empty, the main file is the one in /etc, or else the
// vendor's; a drop-in in /etc replaces the vendor's of the same name. With trusted it
// is an error if others than root could change a file, or the way to it; the main file
// then still has its name and, unless it is itself at fault, its text.
func ConfigFiles(conf string, trusted bool) (Files, error) {
	main := conf
	if conf == "" {
		main = ConfigDir + "/" + mainFile
	}
	var walks dirfd.Walks
	defer walks.Close()
	src, err := readFile(&walks, main, trusted)
	if dirfd.IsNotExist(err) && conf == "" {
		vendor := VendorDir + "/" + mainFile
		if src2, vendorErr := readFile(&walks, vendor, trusted); !dirfd.IsNotExist(vendorErr) {
			main, src, err = vendor, src2, vendorErr
		}
	}
	if err != nil {
		return Files{Main: config.Source{Name: main}}, err
	}
	dropins, err := dropins(&walks, conf, trusted)
	return Files{src, dropins}, err
}

// Dropins reads the drop-ins of the main file conf, which itself need not be
// there.
func Dropins(conf string, trusted bool) ([]config.Source, error) { return dropins(nil, conf, trusted) }

func dropins(walks *dirfd.Walks, conf string, trusted bool) ([]config.Source, error) {
	if conf != "" {
		return readDropins(walks, trusted, InitDir(conf))
	}
	return readDropins(walks, trusted, InitDir(""), VendorDir+"/"+dropinDir)
}

// Draft reads a file that may be anybody's: it is looked at, and nothing goes by
// it.
func Draft(path string) (config.Source, error) { return readFile(nil, path, false) }

// readDropins reads *.conf of the directories; of two files of one name that of
// the earlier directory counts.
func readDropins(walks *dirfd.Walks, trusted bool, dirs ...string) ([]config.Source, error) {
	where := map[string]string{}
	for _, dir := range slices.Backward(dirs) {
		names, err := dropinNames(walks, dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			where[name] = dir
		}
	}
	names := make([]string, 0, len(where))
	for name := range where {
		names = append(names, name)
	}
	sort.Strings(names)
	var out []config.Source
	for _, name := range names {
		path := where[name] + "/" + name
		src, err := readFile(walks, path, trusted)
		if dirfd.IsNotExist(err) { // the main file is there: this is not how a machine without a configuration looks
			err = fmt.Errorf("%s: it is a link that leads to no file: mend the link, or remove it", path)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, src)
	}
	return out, nil
}

func dropinNames(walks *dirfd.Walks, dir string) ([]string, error) {
	all, err := walks.NamesAt(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		if isDropin(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func isDropin(name string) bool {
	return strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".")
}

// Unread are files that somebody has taken for drop-ins of the main file conf, empty for
// the default one, and that nobody reads: their polydirs are missing, and nothing else
// says so. Each is its path and the reason.
func Unread(conf string) (out [][2]string) {
	dropins := InitDir(conf)
	beside, _ := dirfd.Split(dropins)
	look := func(dir, why string, is func(name string) bool) {
		names, _ := dirfd.NamesAt(dir)
		sort.Strings(names)
		for _, name := range names {
			src, err := Draft(dir + "/" + name)
			if err == nil && is(name) && hasPolydir(src.Data) {
				out = append(out, [2]string{src.Name, why})
			}
		}
	}
	// a name with .conf in its midst is of a copy that was put aside
	look(dropins, "the name of a drop-in ends in .conf", func(name string) bool {
		return !strings.Contains(name, ".conf") && !strings.HasPrefix(name, ".")
	})
	names, _ := dirfd.NamesAt(beside)
	sort.Strings(names)
	for _, name := range names {
		if name != dropinDir && strings.HasPrefix(name, "namespace") && strings.HasSuffix(name, ".d") {
			look(beside+"/"+name, "drop-ins lie in "+dropins, isDropin)
		}
	}
	return out
}

func hasPolydir(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "[[polydir]]") {
			return true
		}
	}
	return false
}

func readFile(walks *dirfd.Walks, path string, trusted bool) (config.Source, error) {
	return readFileOf(walks, path, trusted, sizeLimit)
}

func readFileOf(walks *dirfd.Walks, path string, trusted bool, limit int) (config.Source, error) {
	way, err := walks.WalkFile(path)
	if err != nil {
		return config.Source{}, err
	}
	defer way.Close()
	if way.Missing {
		return config.Source{}, dirfd.NotExist(path)
	}
	if trusted {
		if err := dirfd.Trusted(way, way.Stat); err != nil {
			return config.Source{}, err
		}
	}
	// by name again only in a directory that is root's alone, or for a tool
	// that trusts the path which it was given
	f, st, err := way.Parent.OpenFileStat(way.Name)
	if err != nil {
		return config.Source{}, err
	}
	defer f.Close()
	if trusted {
		if err := dirfd.TrustedFile(path, st); err != nil {
			return config.Source{}, err
		}
	}
	data, err := f.ReadAll(limit)
	if err != nil {
		return config.Source{}, fmt.Errorf("%s: %s", path, dirfd.Errno(err))
	}
	return config.Source{Name: path, Data: data}, nil
}
