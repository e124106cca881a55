package observe

import (
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/polyinst"
)

// keep looks at the entries of the public directory that are to be seen in the
// instance, and at what the instance has in their places. The handles are what
// is mounted: a name may lead elsewhere a moment later.
func keep(scene *Scene, rule polyinst.Rule) {
	scene.Kept = map[string]dirfd.Dir{}
	for _, name := range rule.Config.Keep {
		f := polyinst.KeepFacts{Name: name}
		if scene.Polydir.Dir.IsOpen() {
			// what is mounted there is what the public directory shows
			entry, err := scene.Polydir.Dir.Lookup(name)
			f.Public = EntryFacts(entry, err)
			scene.Kept[name] = entry
		}
		if scene.Instance.IsOpen() && scene.Facts.Instance.Exists {
			inside, err := scene.Instance.LookupHere(name)
			f.Inside = EntryFacts(inside, err)
			inside.Close()
		}
		scene.Facts.Keep = append(scene.Facts.Keep, f)
	}
}

// EntryFacts are the facts about what Lookup or LookupHere found.
func EntryFacts(dir dirfd.Dir, err error) polyinst.DirFacts {
	if dirfd.IsNotExist(err) {
		return polyinst.DirFacts{}
	}
	return instanceFacts(dir, err)
}
