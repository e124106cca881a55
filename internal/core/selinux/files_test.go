package selinux

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The three files of a small policy: the forms of entries are those of real
// ones, most of the entries are not.
var fileContexts = [][]byte{[]byte(`
# everything
/.*				system_u:object_r:default_t:s0
/			-d	system_u:object_r:root_t:s0
/tmp/.*				<<none>>
/tmp			-d	system_u:object_r:tmp_t:s0-s15:c0.c1023
/usr/.*				system_u:object_r:usr_t:s0
/opt/.*				system_u:object_r:usr_t:s0
/home			-d	system_u:object_r:home_root_t:s0
/srv/[^/]*		-d	system_u:object_r:var_t:s0
/srv/data		-d	system_u:object_r:early_t:s0
/srv/d.*			system_u:object_r:late_t:s0
/a?quota\.(user|group)	--	system_u:object_r:quota_db_t:s0
/mnt/one\.two		-d	system_u:object_r:mnt_t:s0
/mnt/b{2}		-d	system_u:object_r:mnt_t:s0
/var/[xg]dm(/.*)?		system_u:object_r:xserver_log_t:s0
/dev/\d			-c	system_u:object_r:device_t:s0
/caf` + "\xc3\xa9" + `/..	-d	system_u:object_r:bytes_t:s0
(/x|/y)/z			system_u:object_r:free_t:s0
`), []byte(`
/home/[^/]+		-d	user_u:object_r:user_home_dir_t:s0
/home/[^/]+/.+			user_u:object_r:user_home_t:s0
/home/bob		-d	staff_u:object_r:staff_home_dir_t:s0
/home/[^/]+/\.ssh(/.*)?		user_u:object_r:ssh_home_t:s0
`), []byte(`
/opt/made(/.*)?			system_u:object_r:local_t:s0
/usr				<<none>>
/srv/data		--	system_u:object_r:local_t:s0
`)}

var subs = [][]byte{[]byte(`# what stands for what
/lib /usr/lib
/run/lock /var/gdm
/run/lock/a /usr/a
/back /
`), []byte(`/export/home /home
/two	/lib
bad
`)}

func TestFileContext(t *testing.T) {
	for _, c := range []struct {
		path string
		kind FileKind
		want string // the type; empty for none
	}{
		{"/", Directory, "root_t"},
		{"/", RegularFile, "default_t"},
		{"/tmp", Directory, "tmp_t"},
		{"/tmp/inst", Directory, ""},
		{"/tmp-inst", Directory, "default_t"},
		{"/usr", Directory, ""},
		{"/usr/local", Directory, "usr_t"},
		{"/home", Directory, "home_root_t"},
		{"/home/alice", Directory, "user_home_dir_t"},
		{"/home/alice/tmp", Directory, "user_home_t"},
		{"/home/alice/.ssh/x", Directory, "ssh_home_t"},
		{"/home/alice/xssh", Directory, "user_home_t"},
		{"/home/bob", Directory, "staff_home_dir_t"}, // a plain path counts before later patterns
		{"/home/bob", RegularFile, "default_t"},
		{"/home/bob", AnyKind, "staff_home_dir_t"},
		{"/srv/data", Directory, "early_t"},
		{"/srv/data", RegularFile, "local_t"},
		{"/srv/data", AnyKind, "local_t"}, // the last file is the strongest
		{"/srv/data2", Directory, "late_t"},
		{"/srv/x", Directory, "var_t"},
		{"/srv/x", 'l', "default_t"},
		{"/srv/x/y", Directory, "default_t"}, // anchored at both ends
		{"/opt/x", Directory, "usr_t"},
		{"/opt/made", Directory, "local_t"},
		{"/opt/made/x", Directory, "local_t"},
		{"/opt/madex", Directory, "usr_t"},
		{"/quota.user", RegularFile, "quota_db_t"}, // the letter before "?" may be missing
		{"/aquota.group", RegularFile, "quota_db_t"},
		{"/aquotaxgroup", RegularFile, "default_t"},
		{"/mnt/one.two", Directory, "mnt_t"},
		{"/mnt/oneXtwo", Directory, "default_t"},
		{"/mnt/bb", Directory, "mnt_t"},
		{"/mnt/b", Directory, "default_t"},
		{"/var/xdm/log", Directory, "xserver_log_t"},
		{"/dev/7", 'c', "device_t"},
		{"/dev/x", 'c', "default_t"},
		{"/café/é", Directory, "bytes_t"}, // two bytes
		{"/café/xy", Directory, "bytes_t"},
		{"/café/é1", Directory, "default_t"},
		{"/a\nb", Directory, "default_t"},
		{"/x/z", Directory, "free_t"},
		// other names of a path
		{"//srv///data/", Directory, "early_t"},
		{"/lib", Directory, "usr_t"},
		{"/library", Directory, "default_t"},
		{"/export/home/alice", Directory, "user_home_dir_t"},
		{"/run/lock", Directory, "xserver_log_t"},
		{"/run/lock/a", Directory, "usr_t"}, // the last line
		{"/two", Directory, "usr_t"},        // one of .subs, then one of .subs_dist
		{"/back", Directory, "root_t"},
		{"/back/tmp", Directory, "tmp_t"},
		{"/bad", Directory, "default_t"},
		{"tmp", Directory, ""},
		{"", Directory, ""},
	} {
		ctx, found, ignored := FileContext(fileContexts, subs, c.path, c.kind)
		if found != (c.want != "") || found && strings.Split(ctx, ":")[2] != c.want {
			t.Errorf("%s %q: %q %v, want %s", c.path, c.kind, ctx, found, c.want)
		}
		if ignored != nil {
			t.Errorf("%s: %v", c.path, ignored)
		}
	}
}

func TestNoFiles(t *testing.T) {
	for _, files := range [][][]byte{nil, {nil, nil, nil}} {
		if ctx, found, ignored := FileContext(files, files, "/tmp", Directory); ctx != "" || found || ignored != nil {
			t.Error(ctx, found, ignored)
		}
	}
}

// TestIgnoredEntries: an entry that cannot be read is named where it might have
// decided, and only there.
func TestIgnoredEntries(t *testing.T) {
	files := [][]byte{[]byte(`/srv/early(?=x)	never:looked:at
/srv/.*	u:object_r:var_t
/srv/(?!a)[^/]*	-d	u:object_r:ahead_t
/srv/(.)\1	u:object_r:back_t
/srv/b(
/opt/(?!a).*	u:object_r:ahead_t
/srv/.*	-x	u:object_r:var_t
/srv/many{1001}	u:object_r:many_t
/srv/plain	u:object_r:plain_t
`), nil, []byte(`/srv/plain
/srv/(?<!y)q	--	u:object_r:file_t
/srv/end\ of	u:object_r:space_t
/srv/a++	u:object_r:possessive_t`)}
	for path, want := range map[string]string{
		"/tmp": "",
		"/srv/bb": "file_contexts line 7: \"-x\" is no type of file; " +
			"file_contexts line 5: no context for \"/srv/b(\"; " +
			"file_contexts line 4: pattern \"/srv/(.)\\\\1\" is not understood: error parsing regexp: invalid escape sequence: `\\1`; " +
			"file_contexts line 3: pattern \"/srv/(?!a)[^/]*\" is not understood: error parsing regexp: invalid or unsupported Perl syntax: `(?!`",
		// a plain path decides before any pattern is looked at
		"/srv/plain": `file_contexts.local line 1: no context for "/srv/plain"`,
	} {
		ctx, found, ignored := FileContext(files, nil, path, Directory)
		var got []string
		for _, err := range ignored {
			got = append(got, err.Error())
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: %s\nwant %s", path, strings.Join(got, "; "), want)
		}
		if found != strings.HasPrefix(path, "/srv") {
			t.Errorf("%s: %q", path, ctx)
		}
	}
}

// TestFewPatternsAreCompiled: what a login pays for is the entries that begin
// as the path does.
func TestFewPatternsAreCompiled(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "/usr/lib/p%d(/.*)?	system_u:object_r:p%d_t:s0\n", i, i)
	}
	file := []byte(b.String())
	n := testing.AllocsPerRun(10, func() { FileContext([][]byte{file}, nil, "/usr/lib/p4321", Directory) })
	if n > 500 {
		t.Errorf("%v allocations", n)
	}
	if ctx, _, _ := FileContext([][]byte{file}, nil, "/usr/lib/p4321/x", Directory); ctx != "system_u:object_r:p4321_t:s0" {
		t.Error(ctx)
	}
}

func FuzzFileContext(f *testing.F) {
	f.Add(string(fileContexts[0]), string(fileContexts[1]), string(fileContexts[2]), string(subs[0]), string(subs[1]), "/home/alice", byte('d'))
	f.Add("/a(?=b) x\n/[ -d y\n\\", "/\\", "/a? b\r\n", "/ /", "//a /\n", "/a//b/", byte('-'))
	f.Add("/{1,2} a", "(((((", "/\xff.* b", "", "", "/\xff\xfe", byte(0))
	f.Fuzz(func(t *testing.T, main, homedirs, local, dist, own, path string, kind byte) {
		files, subs := [][]byte{[]byte(main), []byte(homedirs), []byte(local)}, [][]byte{[]byte(dist), []byte(own)}
		ctx, found, ignored := FileContext(files, subs, path, FileKind(kind))
		again, _, ignoredAgain := FileContext(files, subs, path, FileKind(kind))
		if ctx != again || len(ignored) != len(ignoredAgain) {
			t.Fatalf("two answers: %q and %q", ctx, again)
		}
		if found != (ctx != "") || ctx == noLabel || strings.ContainsFunc(ctx, isSpace) {
			t.Errorf("%q %v", ctx, found)
		}
		for _, err := range ignored {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("not on one line: %q", err)
			}
		}
		if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, isSpace) {
			return
		}
		// what the administrator says of exactly this path holds
		files[2] = append(files[2], "\n"+regexp.QuoteMeta(squeeze(path))+" a:b:c"...)
		if ctx, _, _ := FileContext(files, nil, path, FileKind(kind)); ctx != "a:b:c" {
			t.Errorf("%q instead of the last line for exactly %q", ctx, path)
		}
	})
}
