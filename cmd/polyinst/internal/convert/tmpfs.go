package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mounted is a tmpfs with its mount options.
type mounted struct {
	size, inodes, mode string // as our language writes them; empty: the kernel's default
	noswap             bool
	flags              []string // of mount_options
}

// tmpfs writes the keys of a tmpfs from pam_namespace's mntopts: nosuid, nodev and
// noexec are flags of the mount, the rest goes to the filesystem as it is; see
// tmpfs(5).
func (t *table) tmpfs(mntopts string) {
	// what a tmpfs has without a mode option
	m := &mounted{mode: "1777"}
	for _, option := range strings.Split(mntopts, ",") {
		if option != "" {
			t.tmpfsOption(m, option)
		}
	}
	t.set("tmpfs", m.table())
	switch owner := t.c.facts.owner(t.path); owner {
	case "root:root":
	case "":
		t.comment("tmpfs", "pam_namespace's tmpfs is root's; ours has the owner and group of the polydir")
	default:
		t.remark("tmpfs", "pam_namespace's tmpfs is root's; ours has the owner and group of the polydir, %s", printable(owner))
	}
	t.tmpfsFlags(m.flags)
}

func (m *mounted) table() string {
	var keys []string
	add := func(key, value string) {
		if value != "" {
			keys = append(keys, key+" = "+value)
		}
	}
	add("size", m.size)
	add("inodes", m.inodes)
	add("mode", tomlString(m.mode))
	if m.noswap {
		add("noswap", "true")
	}
	return "{ " + strings.Join(keys, ", ") + " }"
}

// tmpfsFlags writes mount_options: pam_namespace's, and our default with them.
func (t *table) tmpfsFlags(flags []string) {
	var all, added []string
	for _, f := range []string{"nosuid", "nodev"} {
		all = append(all, f)
		if !slices.Contains(flags, f) {
			added = append(added, f)
		}
	}
	for _, f := range flags {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	t.set("mount_options", tomlList(all))
	if len(added) > 0 {
		t.defaultFlags = true
		t.comment("mount_options", "mount_options: %s from our default; pam_namespace does not set it", strings.Join(added, " and "))
	}
}

func (t *table) tmpfsOption(m *mounted, option string) {
	key, value, valued := strings.Cut(option, "=")
	switch {
	case !valued:
		t.tmpfsWord(m, key)
	case key == "size" && strings.HasSuffix(value, "%"):
		m.size = tomlString(t.tmpfsPercent(value))
	case key == "size":
		m.size = tomlString(size(t.tmpfsNumber(option, value)))
	case key == "nr_inodes":
		m.inodes = strconv.FormatUint(t.tmpfsNumber(option, value), 10)
	case key == "mode":
		m.mode = t.tmpfsMode(value)
	case key == "uid" || key == "gid":
		t.refuse("mntopts: our tmpfs has the owner and group of the polydir, so there is no key for %s: give the polydir to that owner and leave this out", option)
	case key == "nr_blocks":
		t.refuse("mntopts: %s counts pages of memory: write size= instead", option)
	default:
		t.refuse("mntopts: no key of our language stands for %s", quote(option))
	}
}

func (t *table) tmpfsWord(m *mounted, word string) {
	switch word {
	case "nosuid", "nodev", "noexec", "ro":
		m.flags = append(m.flags, word)
	case "rw", "inode64":
		// what it is anyway
	case "noswap":
		m.noswap = true
	default:
		t.refuse("mntopts: no key of our language stands for %s (and if the kernel's tmpfs does not know it, pam_namespace denies every session)", quote(word))
	}
}

// tmpfsNumber reads a number as the kernel does: base as in C, and one letter
// for a power of 1024.
func (t *table) tmpfsNumber(option, value string) uint64 {
	digits := strings.TrimRight(value, "kKmMgGtTpP")
	unit := strings.ToUpper(value[len(digits):])
	n, err := strconv.ParseUint(digits, 0, 64)
	shift := 0
	if unit != "" {
		shift = 10 * (1 + strings.Index("KMGTP", unit[:1]))
	}
	if err != nil || len(unit) > 1 || strings.ContainsAny(digits, "_oObB") || n>>(63-shift) != 0 {
		t.refuse("mntopts: %s is no number that can be carried over", quote(option))
		return 1
	}
	if n == 0 {
		t.refuse("mntopts: %s means no limit, which our language does not have: leave it out for the kernel's default, half of the memory", option)
	}
	return n << shift
}

func (t *table) tmpfsPercent(value string) string {
	n, err := strconv.ParseUint(strings.TrimSuffix(value, "%"), 0, 32)
	if err != nil || strings.ContainsAny(value, "_oObB") {
		t.refuse("mntopts: size=%s is no share of the memory", printable(value))
	}
	return fmt.Sprintf("%d%%", n)
}

// tmpfsMode reads the octal mode of a tmpfs.
func (t *table) tmpfsMode(value string) string {
	n, err := strconv.ParseUint(value, 8, 32)
	if err != nil {
		t.refuse("mntopts: mode=%s is no octal mode: the kernel refuses it, and pam_namespace denies every session", printable(value))
	}
	return octal(uint32(n) & 0o7777)
}

// size writes bytes with the greatest unit that keeps them exact.
func size(n uint64) string {
	units := ""
	for _, u := range "KMGTP" {
		if n == 0 || n%1024 != 0 {
			break
		}
		n /= 1024
		units = string(u)
	}
	return strconv.FormatUint(n, 10) + units
}
