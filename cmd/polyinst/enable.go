package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/convert"
	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
)

// enableOptions are the words of enable.
type enableOptions struct {
	conf, user string
	args       []string
	within     time.Duration
	noConfirm  bool
	dryRun     bool
	convert    bool
	tmp        bool
}

// shortest is how soon a change is taken back at the earliest.
const shortest = time.Second

func enableCommand() *cobra.Command {
	var o enableOptions
	cmd := &cobra.Command{
		Use:   "enable SERVICE...",
		Short: "put the line into PAM stacks; taken back unless confirmed",
		Long: `Enable checks the configuration, the machine and the stacks, makes the instance
parents, rehearses a session of USER and of root, and then puts the line behind
the session part of each SERVICE. Log in anew, then "polyinst confirm": else
the files are as before again after 60 s, whatever becomes of this connection.`,
		Example: `  polyinst enable sshd su
  polyinst enable --dry-run sshd
  polyinst enable --tmp sshd su         and begin with a private /tmp`,
		Args: someServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRoot("enable"); err != nil {
				return err
			}
			switch {
			case o.within < shortest:
				return usageError{fmt.Errorf("--within: %v is too short to log in: at least %v", o.within, shortest)}
			case o.noConfirm && cmd.Flags().Changed("within"):
				return usageError{errors.New("--within or --no-confirm, not both")}
			case o.convert && (len(o.args) > 0 || o.conf != ""):
				return usageError{errors.New("--convert takes the arguments of pam_namespace's line: not together with --arg or --conf")}
			}
			return enable(args, o)
		},
	}
	confFlag(cmd, &o.conf)
	cmd.Flags().StringVar(&o.user, "user", "", "rehearse a session of this `USER`")
	cmd.Flags().StringArrayVar(&o.args, "arg", nil, "an `ARGUMENT` of the PAM line; can be repeated")
	cmd.Flags().DurationVar(&o.within, "within", time.Minute, "take it back after this `TIME`")
	cmd.Flags().BoolVar(&o.noConfirm, "no-confirm", false, "it stays, and nobody has to confirm")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only say what would be changed")
	cmd.Flags().BoolVar(&o.convert, "convert", false, "put the line in the place of pam_namespace's")
	quietFlag(cmd)
	cmd.Flags().BoolVar(&o.tmp, "tmp", false, "begin a configuration without polydirs by /tmp")
	return cmd
}

func someServices(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("which services? polyinst %s SERVICE [SERVICE...]", cmd.Name())}
	}
	return nil
}

// knownServices refuses names that have no stack.
func knownServices(stacks pamstack.Dir, names []string) error {
	for _, name := range names {
		if _, ok := stacks[name]; ok {
			continue
		}
		instead := meant(filepath.Base(name), stacks.Names(), "")
		for _, u := range unitsWithPAM() {
			if u.Service == name { // no mistake: libpam goes by the stack "other"
				instead = stacks.Borrowed(name)
			}
		}
		return usageError{fmt.Errorf("there is no PAM stack %q in %s%s", name, pamDir, instead)}
	}
	return nil
}

// beginningTmp is what --tmp begins with.
//
//go:embed beginning-tmp.conf
var beginningTmp string

// enabling is one run of enable.
type enabling struct {
	enableOptions
	line    string
	before  pamstack.Dir
	after   pamstack.Dir
	changes []pamstack.Change
	covered []string // the services that have the line already

	config *config.Config
	files  observe.Files
	conf   string // as conf= says, or the default one
}

func enable(services []string, o enableOptions) error {
	services = inOrder(services) // each once
	stacks, err := readStacks(pamDir)
	if err != nil {
		return err
	}
	if err := knownServices(stacks, services); err != nil {
		return err
	}
	if _, err := nss.User(o.user); o.user != "" && nss.IsUnknown(err) {
		return noSuchAccount(o.user)
	}
	e := &enabling{enableOptions: o, before: stacks}
	if err := e.plan(services); err != nil {
		return err
	}
	if len(e.changes) == 0 {
		return e.nothingNew()
	}
	if err := e.notInside(); err != nil {
		return err
	}
	if !o.dryRun {
		if err := e.goOn(); err != nil {
			return err
		}
	}
	err = e.checked()
	if err == nil {
		e.show()
		if o.dryRun {
			return nil
		}
		err = e.rehearse()
	}
	if err == nil {
		err = e.write()
	}
	if err != nil && !o.dryRun {
		if err := e.leave(); err != nil {
			tell("%v", err)
		}
		err = e.unchanged(err)
	}
	return err
}

// unchanged adds to an error that the stacks are as they were, if they are.
func (e *enabling) unchanged(err error) error {
	const says = "nothing is changed"
	for _, c := range e.changes {
		if now, err2 := os.ReadFile(c.From); err2 != nil || !bytes.Equal(now, c.Old) || c.From != pamDir+"/"+c.Name && !absent(pamDir+"/"+c.Name) {
			if errors.Is(err, errReported) {
				err = nil
			}
			return errors.Join(err, fmt.Errorf("not every file is as it was: `polyinst disable %s`", shellword.QuoteAll(names(e.changes))))
		}
	}
	switch {
	case errors.Is(err, errReported):
		return errors.New(says)
	case strings.Contains(err.Error(), says):
		return err
	}
	return fmt.Errorf("%w; %s", err, says)
}

// plan finds out where the line belongs, and says who has it already.
func (e *enabling) plan(services []string) error {
	var err error
	if e.line, err = (tryOptions{conf: e.enableOptions.conf, args: e.args, module: pamstack.Module}).line(); err != nil {
		return err
	}
	args := e.args
	if e.enableOptions.conf != "" {
		if e.conf, err = filepath.Abs(e.enableOptions.conf); err != nil {
			return err
		}
	} else if given, err := config.ParseArgs(args); err == nil {
		e.conf = given.Conf
	}
	var instead func(pamstack.File) ([]byte, error)
	if e.convert {
		instead = convertedFile
	}
	changes, covered, err := e.before.Enable(services, e.line, instead)
	if err != nil {
		return err
	}
	e.changes, e.after = changes, e.before.With(changes)
	for _, c := range changes {
		if err := mayWrite(c, e.line); err != nil {
			return err
		}
	}
	wanted := e.args
	if e.enableOptions.conf != "" {
		wanted = append([]string{"conf=" + e.conf}, wanted...)
	}
	for _, name := range services {
		entry, ok := covered[name]
		if !ok {
			continue
		}
		for _, arg := range wanted {
			if !slices.Contains(entry.Args, arg) {
				return fmt.Errorf("%s has the line already, without %q: %s: add it there, or begin with `polyinst disable %s`", plain(name), arg, entry.Pos, shellword.Quote(filepath.Base(entry.Pos.File)))
			}
		}
		e.covered = append(e.covered, name)
		fmt.Fprintf(stdout, "%s has it already: %s\n", plain(name), entry.Pos)
	}
	return nil
}

// convertedFile is a file with our line instead of pam_namespace's, as convert
// prints it.
func convertedFile(f pamstack.File) ([]byte, error) {
	r := convert.PAM(config.Source{Name: f.Path, Data: f.Data})
	for _, remark := range r.Remarks {
		fmt.Fprintln(os.Stderr, remark)
	}
	if r.Refused() {
		return nil, errReported
	}
	return []byte(r.Text), nil
}

// mayWrite refuses a file that a program of the distribution writes anew.
func mayWrite(c pamstack.Change, line string) error {
	path := pamDir + "/" + c.Name
	if c.From != path {
		return nil // the vendor's is copied, and stays
	}
	link, as, err := linkOf(c)
	if err != nil {
		return err
	}
	if why := link.Problem(path, line, as); why != "" {
		return errors.New(why)
	}
	return nil
}

// linkOf is what a file of /etc/pam.d leads to.
func linkOf(c pamstack.Change) (pamstack.Link, pamstack.Authselect, error) {
	link := pamstack.Link{Name: c.Name, Data: c.Old}
	raw, _ := os.ReadFile("/etc/authselect/authselect.conf")
	dir, err := filepath.EvalSymlinks(pamDir)
	if err == nil {
		link.Target, err = filepath.EvalSymlinks(c.From)
	}
	if link.Target == filepath.Join(dir, c.Name) {
		link.Target = c.From
	}
	return link, pamstack.ParseAuthselect(raw), err
}

// nothingNew ends where all services have the line. It need not be one that keeps
// anybody out: that is told as of a new one.
func (e *enabling) nothingNew() error {
	c, files, err := load(e.conf, true)
	if err != nil {
		return err
	}
	faults := slices.DeleteFunc(e.concerned(checkStacks(c, files.Main.Name, pamDir, e.after)), func(r remark) bool { return r.Level != pamstack.Error })
	for _, r := range faults {
		r.tell()
	}
	if len(faults) > 0 {
		return errReported
	}
	n, err := readNote()
	if err != nil || n.Waits == nil || e.dryRun {
		return err
	}
	if e.noConfirm {
		return confirm()
	}
	sayUntil(*n.Waits)
	return nil
}

// notInside refuses where a rehearsal would begin in another view than a login.
func (e *enabling) notInside() error {
	here, err := outerHere()
	if err != nil {
		return err
	}
	if here != nil && here.User != "" {
		return errors.New("this shell is in a private namespace: `polyinst real -- polyinst enable` begins in the host's view")
	}
	return nil
}

// goOn sees that no other change waits, and begins the configuration.
func (e *enabling) goOn() error {
	k, err := keep(false)
	if err != nil {
		return err
	}
	defer k.close()
	if err := sayTakenBack(k); err != nil {
		return err
	}
	if k.note.Waits != nil {
		return toConfirm(k.waitingNames())
	}
	err = k.tidy()
	if err == nil && e.tmp {
		err = e.begin(k)
	}
	return err
}

// begin writes the drop-in of --tmp where there is no polydir yet.
func (e *enabling) begin(k *keeper) error {
	c, _, err := load(e.conf, true)
	if err != nil || len(c.Polydirs) > 0 {
		return err
	}
	path := e.dropin()
	if !absent(path) {
		return fmt.Errorf("--tmp: %s is there already, and has no polydir", path)
	}
	dir, name := dirfd.Split(path)
	k.note.Begun = &begun{path, absent(dir)}
	if err := k.save(); err != nil {
		return err
	}
	way, err := apply.OwnDirectory(dir)
	if err != nil {
		return err
	}
	defer way.Close()
	if err := way.Dir.Replace(name, []byte(beginningTmp), dirfd.Likeness{Mode: 0o644}); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s\n", path)
	return nil
}

func (e *enabling) dropin() string { return observe.InitDir(e.conf) + "/tmp.conf" }

// leave takes back what was begun for a change that is not made.
func (e *enabling) leave() error {
	k, err := keep(false)
	if err != nil {
		return err
	}
	defer k.close()
	return k.tidy()
}
