package observe

import (
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
)

// keep looks at the entries of the public directory that are to be seen in the
// instance, and at what the instance has under these names. The handles are what
// is mounted: a name may lead elsewhere a moment later.
func keep(scene *Scene, rule plan.Rule) {
	scene.Kept = map[string]dirfd.Dir{}
	for _, k := range rule.Keep {
		name := k.Name
		f := plan.KeepFacts{Name: name, Own: k.Own, Lost: k.Lost}
		switch {
		case k.Lost != "":
			scene.Facts.Keep = append(scene.Facts.Keep, f)
			continue
		case k.Own:
			keepOwn(scene, f, rule.Config.AllowNetworkFS)
			continue
		case config.IsPattern(name):
			keepPattern(scene, name)
			continue
		}
		if scene.Polydir.Dir.IsOpen() {
			// what is mounted there is what the public directory shows
			scene.Kept[name], f.Public = PublicEntry(scene.Polydir.Dir, name)
		}
		keepInside(scene, f)
	}
}

// keepInside looks at what an existing instance has under the name.
func keepInside(scene *Scene, f plan.KeepFacts) {
	if scene.Instance.IsOpen() && scene.Facts.Instance.Exists {
		inside, err := scene.Instance.LookupHere(f.Name)
		f.Inside = EntryFacts(inside, err)
		inside.Close()
	}
	scene.Facts.Keep = append(scene.Facts.Keep, f)
}

// keepOwn looks at an entry that is to be the user's own, and at all above it. It
// is gone to once, from handle to handle.
func keepOwn(scene *Scene, f plan.KeepFacts, network bool) {
	names := strings.Split(f.Name, "/")
	last := len(names) - 1
	if at, err := scene.Polydir.Dir.Dup(); scene.Polydir.Dir.IsOpen() && err == nil {
		for i, name := range names {
			next, err := at.Lookup(name)
			at.Close()
			at = next
			facts := ownFacts(next, err, network)
			if i == last {
				scene.Kept[f.Name], f.Public = next, facts
				break
			}
			if f.Above = append(f.Above, facts); !facts.Exists {
				next.Close()
				break
			}
		}
	}
	if at, err := scene.Instance.Dup(); scene.Instance.IsOpen() && scene.Facts.Instance.Exists && err == nil {
		for i, name := range names {
			next, err := at.LookupHere(name)
			at.Close()
			at = next
			facts := EntryFacts(next, err)
			if i == last {
				f.Inside = facts
			} else {
				f.Points = append(f.Points, facts)
			}
			if !facts.Exists {
				break
			}
		}
		at.Close()
	}
	scene.Facts.Keep = append(scene.Facts.Keep, f)
}

// ownFacts are publicFacts; a home may lie on a network filesystem where that is
// said.
func ownFacts(entry dirfd.Dir, err error, network bool) plan.DirFacts {
	if err != nil {
		return EntryFacts(entry, err)
	}
	f, err := entry.Filesystem()
	switch {
	case err == nil && (f.Believed || network && !f.ByUser):
		return EntryFacts(entry, nil)
	case err == nil && !f.ByUser:
		return plan.DirFacts{Problem: "is " + f.Reason() + ": that needs allow_network_fs = true"}
	}
	return publicFacts(entry, err)
}

// How much of a public directory is read for a pattern, and how many names that
// match are looked at: users make as many as they like, and no session waits for
// that.
const (
	publicNamesMax = 1 << 16
	matchesMax     = 1 << 14
)

// keepPattern looks for root's directories that match. Others are nobody's to
// keep, and no word is said of them.
func keepPattern(scene *Scene, pattern string) {
	public := scene.Polydir.Dir
	cut := func(why string) {
		scene.Facts.Keep = append(scene.Facts.Keep, plan.KeepFacts{Name: pattern, Cut: why})
	}
	if !public.IsOpen() {
		return
	}
	// to be read, a filesystem that a user mounted would be asked
	if f, err := public.Filesystem(); err != nil || !f.Believed {
		return
	}
	names, all, err := public.Matching(func(name string) bool { return config.Matches(pattern, name) }, publicNamesMax, matchesMax)
	if err != nil {
		cut(problem(err))
		return
	}
	slices.Sort(names)
	found := 0
	for _, name := range names {
		if _, ok := scene.Kept[name]; ok {
			continue
		}
		entry, err := public.Lookup(name)
		if err != nil {
			continue
		}
		if st, err := entry.Stat(); err != nil || !st.IsDir() || st.UID != 0 {
			entry.Close()
			continue
		}
		f := publicFacts(entry, nil)
		if found++; found > plan.KeptByPattern {
			entry.Close()
			cut(fmt.Sprintf("more than %d directories: the others are left out", plan.KeptByPattern))
			return
		}
		scene.Kept[name] = entry
		keepInside(scene, plan.KeepFacts{Name: name, Public: f})
	}
	if !all {
		cut("the public directory has too many names: not all were looked at")
	}
}

// PublicEntry looks at an entry of the public directory, which any user may have
// made there. On a filesystem that is not believed nothing is root's, whatever
// that says, and one of a user's own is not asked.
func PublicEntry(public dirfd.Dir, name string) (dirfd.Dir, plan.DirFacts) {
	entry, err := public.Lookup(name)
	return entry, publicFacts(entry, err)
}

func publicFacts(entry dirfd.Dir, err error) plan.DirFacts {
	if err == nil {
		var f dirfd.Filesystem
		if f, err = entry.Filesystem(); err == nil && !f.Believed {
			return plan.DirFacts{Problem: "is " + f.Reason()}
		}
	}
	return EntryFacts(entry, err)
}

// EntryFacts are the facts about what Lookup or LookupHere found.
func EntryFacts(dir dirfd.Dir, err error) plan.DirFacts {
	if dirfd.IsNotExist(err) {
		return plan.DirFacts{}
	}
	facts, _ := instanceFacts(dir, err)
	return facts
}
