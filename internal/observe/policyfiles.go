package observe

import (
	"fmt"
	"slices"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/selinux"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/kernel/selinuxfs"
)

const (
	selinuxDir = "/etc/selinux/"
	// policySizeLimit of one file: file_contexts has thousands of lines.
	policySizeLimit = 16 << 20
)

// policyFile reads a file of the loaded policy's directory; one that is absent
// is empty.
func policyFile(name string) ([]byte, error) {
	conf, err := readOptional(selinuxDir + "config")
	if err != nil {
		return nil, err
	}
	return readOptional(selinuxDir + selinux.PolicyType(conf) + "/" + name)
}

func readOptional(path string) ([]byte, error) {
	src, err := readFileOf(nil, path, true, policySizeLimit)
	if dirfd.IsNotExist(err) {
		return nil, nil
	}
	return src.Data, err
}

func policyFiles(names ...string) ([][]byte, error) {
	var out [][]byte
	for _, name := range names {
		data, err := policyFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// defaultLabel is what the policy's files say of a directory's path; empty where
// they say nothing.
func defaultLabel(path string) (string, error) { return labelOf(path, selinux.Directory) }

func labelOf(path string, kind selinux.FileKind) (string, error) {
	const dir = "contexts/files/file_contexts"
	contexts, err := policyFiles(dir, dir+".homedirs", dir+".local")
	if err != nil {
		return "", err
	}
	subs, err := policyFiles(dir+".subs_dist", dir+".subs")
	if err != nil {
		return "", err
	}
	label, found, _ := selinux.FileContext(contexts, subs, path, kind)
	if !found {
		return "", nil
	}
	return label, nil
}

// defaultContext is what the policy's files give a user's session of a host:
// getseuserbyname(3) and get_default_context_with_level(3).
func defaultContext(host lsm.Thread, s plan.Subject) (string, error) {
	seusers, err := policyFile("seusers")
	if err != nil {
		return "", err
	}
	groups, err := groupsIn(seusers, s)
	if err != nil {
		return "", err
	}
	seuser, level, err := selinux.SEUser(seusers, s.User, groups)
	if err != nil {
		return "", err
	}
	if !selinuxfs.MLS() {
		level = ""
	}
	from, err := selinuxfs.Current(host)
	if err != nil {
		return "", err
	}
	own, err := policyFile("contexts/users/" + seuser)
	if err != nil {
		return "", err
	}
	all, err := policyFile("contexts/default_contexts")
	if err != nil {
		return "", err
	}
	return selinux.DefaultContext(own, all, seuser, from, level, func(context string) bool {
		_, err := selinuxfs.Canonical(context)
		return err == nil
	})
}

// groupsIn are those groups of the user that have a line in seusers.
func groupsIn(seusers []byte, s plan.Subject) ([]string, error) {
	named := selinux.SEUserGroups(seusers)
	if len(named) == 0 {
		return nil, nil
	}
	u, err := nss.User(s.User)
	if err != nil {
		return nil, err
	}
	who := s
	memberships(&who, u, named)
	if who.Problem != "" {
		return nil, fmt.Errorf("seusers: %s", who.Problem)
	}
	return slices.DeleteFunc(named, func(g string) bool { return who.Groups[g] != plan.Member }), nil
}
