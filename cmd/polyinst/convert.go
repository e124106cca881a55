package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/convert"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nss"
)

// Where pam_namespace keeps its files; see pam_namespace(8).
const (
	peerDir    = "/etc/security"
	peerVendor = "/usr/share/pam" // its default since 1.7.2
	peerPAM    = "/etc/pam.d"
)

func convertCommand() *cobra.Command {
	var pam, vendor, parents string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "convert [FILE...]",
		Short: "translate a configuration of pam_namespace, and its PAM lines",
		Long: `Convert prints on standard output what pam_namespace's configuration is in our
language: of FILE..., in this order, or of the files that pam_namespace itself
would read. A FILE of PAM lines is printed with the lines that use
pam_namespace changed to ours; beside a configuration, PAM lines are comments.

Remarks on standard error name each place where something could mean less or
more than before. What is refused there stands in the output as "undecided",
with which it does not load: decide, correct, remove that line.`,
		Example: `  polyinst convert > /root/draft.conf
  polyinst convert --parents /var/lib/polyinst > /root/draft.conf
  polyinst convert --pam`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if parents != "" && (parents[0] != '/' || filepath.Clean(parents) != parents || strings.ContainsRune(parents, '$')) {
				return usageError{fmt.Errorf("--parents: %q: want an absolute path, such as /var/lib/polyinst", parents)}
			}
			if err := behindEquals(args, pam); err != nil {
				return err
			}
			facts := peerFacts(vendor)
			facts.Parents = parents
			return convertFiles(args, pam, vendor, facts, cmd.Flags().Changed("pam"), asJSON)
		},
	}
	cmd.Flags().StringVar(&pam, "pam", "", "convert the PAM files of `DIR` ("+peerPAM+")")
	cmd.Flags().Lookup("pam").NoOptDefVal = peerPAM
	cmd.Flags().StringVar(&vendor, "vendordir", peerVendor, "pam_namespace's vendor `DIR`")
	cmd.Flags().StringVar(&parents, "parents", "", "put instance parents below `DIR`")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// converted is the schema of convert --json.
type converted struct {
	Schema  int          `json:"schema"`
	Text    string       `json:"text"`
	Remarks []convertSay `json:"remarks"`
}

type convertSay struct {
	File    string `json:"file"` // empty: about the conversion as a whole
	Line    int    `json:"line"` // 0: the file as a whole
	Refused bool   `json:"refused"`
	Message string `json:"message"`
}

func convertFiles(paths []string, pamDir, vendor string, facts convert.Facts, wantPAM, asJSON bool) error {
	in, err := convertInput(paths, pamDir, vendor, wantPAM)
	if err != nil {
		return err
	}
	refused := false
	out := converted{schema, "", []convertSay{}}
	show := func(r convert.Result, text string) {
		refused = refused || r.Refused()
		if asJSON {
			out.Text += text
			for _, m := range r.Remarks {
				out.Remarks = append(out.Remarks, convertSay{m.File, m.Line, m.Refused, m.Text})
			}
			return
		}
		fmt.Fprint(stdout, text)
		for _, m := range r.Remarks {
			fmt.Fprintln(os.Stderr, m)
		}
	}
	if len(in.conf) > 0 {
		r := convert.Config(in.conf, facts)
		show(r, r.Text)
	}
	for _, src := range in.pam {
		r := convert.PAMLines(src)
		switch {
		case len(in.conf) > 0:
			show(r, commented(r.Text))
		case len(in.pam) == 1 && !wantPAM:
			r = convert.PAM(src)
			show(r, r.Text)
		default:
			show(r, r.Text)
		}
	}
	if asJSON {
		if err := printJSON(out); err != nil {
			return err
		}
	}
	if refused {
		return errReported
	}
	return nil
}

// commented makes lines that PAM would read into comments of a TOML file.
func commented(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		if !strings.HasPrefix(line, "# ") {
			line = "#     " + strings.ReplaceAll(line, "\t", " ")
		}
		b.WriteString(strings.ToValidUTF8(line, "?"))
	}
	return b.String()
}

// input is what is to be converted.
type input struct {
	conf []config.Source
	pam  []config.Source
}

func convertInput(paths []string, pamDir, vendor string, wantPAM bool) (input, error) {
	var in input
	if len(paths) == 0 && !wantPAM {
		var err error
		paths, err = peerFiles(peerDir, filepath.Join(vendor, "security"))
		if err != nil {
			return in, err
		}
		in.conf, err = readAll(paths)
		return in, err
	}
	named, err := readAll(paths)
	if err != nil {
		return in, err
	}
	for _, src := range named {
		if convert.LooksLikePAM(src.Data) {
			in.pam = append(in.pam, src)
		} else {
			in.conf = append(in.conf, src)
		}
	}
	if wantPAM {
		found, err := pamFiles(pamDir)
		if err != nil {
			return in, err
		}
		in.pam = append(in.pam, found...)
	}
	return in, nil
}

func readAll(paths []string) ([]config.Source, error) {
	var list []config.Source
	for _, path := range paths {
		var data []byte
		var err error
		if path == "-" {
			data, err = io.ReadAll(os.Stdin)
		} else {
			data, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, config.Source{Name: path, Data: data})
	}
	return list, nil
}

// peerFiles are the files that pam_namespace reads, in its order: the main file of
// etc, or the vendor's only if that is absent; then the drop-ins of both by
// base name, where one of etc hides the vendor's.
func peerFiles(etc, vendor string) ([]string, error) {
	main := filepath.Join(etc, "namespace.conf")
	if _, err := os.Stat(main); errors.Is(err, fs.ErrNotExist) {
		main = filepath.Join(vendor, "namespace.conf")
		if _, err := os.Stat(main); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no namespace.conf in %s or %s: name a FILE", etc, vendor)
		}
	}
	byName := map[string]string{}
	for _, dir := range []string{vendor, etc} {
		found, err := filepath.Glob(filepath.Join(dir, "namespace.d", "[^.]*.conf"))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			byName[filepath.Base(path)] = path
		}
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	sort.Strings(names)
	files := []string{main}
	for _, name := range names {
		files = append(files, byName[name])
	}
	return files, nil
}

// pamFiles are the files of the directory that use pam_namespace.
func pamFiles(dir string) ([]config.Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []config.Source
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if convert.UsesPeer(data) {
			list = append(list, config.Source{Name: path, Data: data})
		}
	}
	return list, nil
}

// peerFacts are the facts of this machine.
func peerFacts(vendor string) convert.Facts {
	f := convert.Facts{Account: lookUpAccount(), Group: lookUpGroup, Script: scriptState, Exposed: exposed, Owner: ownerOf}
	for _, dir := range []string{peerDir, filepath.Join(vendor, "security")} {
		path := filepath.Join(dir, "namespace.init")
		if scriptState(path) != convert.ScriptAbsent {
			f.InitScript = path
			break
		}
	}
	return f
}

// lookUpAccount asks the directory, and knows which accounts it lists share a
// uid.
func lookUpAccount() func(name string) (convert.Account, convert.Answer) {
	sharing := namesByUID()
	return func(name string) (convert.Account, convert.Answer) {
		if strings.ContainsRune(name, 0) {
			return convert.Account{}, convert.Absent
		}
		u, err := nss.User(name)
		if nss.IsUnknown(err) {
			return convert.Account{}, convert.Absent
		}
		if err != nil {
			return convert.Account{}, convert.Unknown
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return convert.Account{}, convert.Unknown
		}
		a := convert.Account{Name: u.Username, UID: uint32(uid)}
		for _, other := range sharing[u.Uid] {
			if other != a.Name {
				a.Aliases = append(a.Aliases, other)
			}
		}
		return a, convert.Present
	}
}

// namesByUID are the names of the accounts that the directory lists, which need
// not be all that it knows.
func namesByUID() map[string][]string {
	names := map[string][]string{}
	out, err := exec.Command("getent", "passwd").Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "polyinst: getent passwd: %v: accounts that share a uid are not known\n", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if f := strings.Split(lines.Text(), ":"); len(f) >= 3 {
			names[f[2]] = append(names[f[2]], f[0])
		}
	}
	return names
}

func lookUpGroup(name string) convert.Answer {
	_, err := nss.Group(name)
	switch {
	case nss.IsUnknown(err):
		return convert.Absent
	case err != nil:
		return convert.Unknown
	}
	return convert.Present
}

func scriptState(path string) convert.Script {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return convert.ScriptAbsent
	case info.Mode()&0o111 == 0:
		return convert.ScriptNotExecutable
	}
	return convert.ScriptRuns
}

// exposed says why others than root can create names on the way to the
// directory, of which perhaps only the first part exists.
func exposed(dir string) string {
	for ; dir != "" && dir != "/"; dir = filepath.Dir(dir) {
		way, err := dirfd.Walk(dir, nil)
		if err != nil {
			continue
		}
		defer way.Close()
		if !way.Exposure.Exposed() {
			return ""
		}
		dir, reason := way.Exposure.Where()
		return dir + ": " + reason
	}
	return ""
}

// ownerOf is USER:GROUP of a directory, with numbers where there are no names.
func ownerOf(dir string) string {
	way, err := dirfd.Walk(dir, nil)
	if err != nil {
		return ""
	}
	defer way.Close()
	if way.Missing {
		return ""
	}
	uid, gid := strconv.FormatUint(uint64(way.Stat.UID), 10), strconv.FormatUint(uint64(way.Stat.GID), 10)
	if u, err := nss.UserID(way.Stat.UID); err == nil {
		uid = u.Username
	}
	if g, err := user.LookupGroupId(gid); err == nil {
		gid = g.Name
	}
	return uid + ":" + gid
}
