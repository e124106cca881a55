package apply

import (
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// setLabel gives a directory the label of its instance, as the last thing that
// is done with it: afterwards a login program may not be permitted to open it.
func setLabel(dir dirfd.Dir, step *plan.Step) error {
	if step.Label == "" {
		return nil
	}
	switch step.Module {
	case plan.SELinux:
		return setSELinuxLabel(dir, step.Label)
	case plan.Smack:
		return setSmackLabel(dir, step.Label, step.Transmute)
	}
	return nil
}

// setSELinuxLabel writes a context with a NUL at its end, as the kernel's own
// are.
func setSELinuxLabel(dir dirfd.Dir, context string) error {
	return dir.SetXattr(selinuxfs.XattrLabel, context+"\x00")
}

func setSmackLabel(dir dirfd.Dir, label string, transmute bool) error {
	if err := dir.SetXattr(lsm.XattrSmack, label); err != nil || !transmute {
		return err
	}
	return dir.SetXattr(lsm.XattrSmackTransmute, lsm.SmackTransmutes)
}

// labelOf is how a directory is labelled, as the kernel spells it.
func labelOf(dir dirfd.Dir, module plan.Module) (string, error) {
	if module == plan.Smack {
		label, _, err := observe.SmackLabel(dir)
		return label, err
	}
	label, err := dir.Xattr(selinuxfs.XattrLabel)
	if canonical, bad := selinuxfs.Canonical(label); err == nil && bad == nil {
		label = canonical
	}
	return label, err
}
