package observe

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// Machine says what names and plans need to know of the machine; its ids, by which
// tmpdir instances are called, only if ids says so.
func Machine(ids bool) (m plan.Machine, err error) {
	if ids {
		if m.MachineID, err = MachineID(); err != nil {
			return plan.Machine{}, err
		}
		boot, err := firstLine("/proc/sys/kernel/random/boot_id")
		if err != nil {
			return plan.Machine{}, fmt.Errorf("the boot's id: %w (is /proc mounted?)", err)
		}
		m.BootID = shortHash(boot)
	}
	random := make([]byte, 12)
	if _, err := rand.Read(random); err != nil {
		return plan.Machine{}, err
	}
	m.Random, m.Kernel, m.KernelAtLeast = hex.EncodeToString(random), mntns.Kernel(), mntns.KernelAtLeast
	return m, nil
}

// MachineID is the short hash of machine-id(5); "none" where there is no such
// file, as in a container.
func MachineID() (string, error) {
	id, err := firstLine("/etc/machine-id")
	if dirfd.IsNotExist(err) {
		return "none", nil
	}
	if err != nil {
		return "", fmt.Errorf("machine-id: %w", err)
	}
	if id == "" || id == "uninitialized" {
		return "none", nil
	}
	return shortHash(id), nil
}

// shortHash tells ids apart in a file's name without giving them away, as
// machine-id(5) asks of applications.
func shortHash(id string) string {
	sum := sha256.Sum256([]byte("pam_polyinst " + id))
	return hex.EncodeToString(sum[:4])
}

func firstLine(path string) (string, error) {
	way, err := dirfd.WalkFile(path)
	if err != nil {
		return "", err
	}
	defer way.Close()
	if way.Missing {
		return "", dirfd.NotExist(path)
	}
	f, err := way.Parent.OpenFile(way.Name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := f.ReadAll(4096)
	line, _, _ := strings.Cut(string(raw), "\n")
	return line, err
}
