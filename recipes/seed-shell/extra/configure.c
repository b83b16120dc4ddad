/*
 * Stands in for busybox's own configuration step, which needs make, sed and a
 * shell -- the very things that are being built here. Reads the sources in the
 * current folder and the chosen options from the file named by the first
 * argument (NAME or NAME=VALUE, one a line), and writes the headers of include/
 * that kconfig and gen_build_files.sh would write.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 4096, OPTIONS = 4096, NAME = 96 };

static char chosen[OPTIONS][NAME * 2];
static int chosen_count;
static char seen[OPTIONS][NAME];
static int seen_count;
static FILE *out;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static FILE *open_or_die(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);
	if (!file)
		die(path);
	return file;
}

/* Calls `use` with the rest of every line that begins with `prefix`. */
static void each_line(const char *pattern, const char *prefix, void (*use)(char *))
{
	char line[LINE];
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		die(pattern);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *file = open_or_die(found.gl_pathv[i], "r");
		while (fgets(line, sizeof line, file))
			if (!strncmp(line, prefix, strlen(prefix)))
				use(line + strlen(prefix));
		fclose(file);
	}
	globfree(&found);
}

static void choose(char *line)
{
	line[strcspn(line, "\n")] = 0;
	if (!*line || *line == '#')
		return;
	if (chosen_count == OPTIONS || strlen(line) >= sizeof chosen[0])
		die("too many options");
	strcpy(chosen[chosen_count++], line);
}

/* NULL: switched off; "1": switched on; else the value as written. */
static const char *value_of(const char *name)
{
	size_t length = strlen(name);

	for (int i = 0; i < chosen_count; i++)
		if (!strncmp(chosen[i], name, length)) {
			if (!chosen[i][length])
				return "1";
			if (chosen[i][length] == '=')
				return chosen[i] + length + 1;
		}
	return NULL;
}

static void define_option(char *line)
{
	char name[NAME];
	const char *value;

	if (sscanf(line, "%95[A-Za-z0-9_]", name) != 1)
		return;
	for (int i = 0; i < seen_count; i++)
		if (!strcmp(seen[i], name))
			return;
	if (seen_count == OPTIONS)
		die("too many symbols");
	strcpy(seen[seen_count++], name);

	value = value_of(name);
	if (value)
		fprintf(out, "#define CONFIG_%s %s\n", name, value);
	fprintf(out, "#define ENABLE_%s %d\n#define IF_%s(...) %s\n#define IF_NOT_%s(...) %s\n",
		name, value != NULL, name, value ? "__VA_ARGS__" : "", name, value ? "" : "__VA_ARGS__");
}

static void print_line(char *line)
{
	fputs(line, out);
}

static void print_or_insert_applets(char *line)
{
	if (strcmp(line, "INSERT\n")) {
		fputs(line, out);
		return;
	}
	each_line("*/*.c", "//applet:", print_line);
	each_line("*/*/*.c", "//applet:", print_line);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	each_line(argv[1], "", choose);

	out = open_or_die("include/autoconf.h", "w");
	fputs("#define AUTOCONF_TIMESTAMP \"\"\n", out);
	each_line("Config.in", "config ", define_option);
	each_line("*/Config.*", "config ", define_option);
	each_line("*/*/Config.*", "config ", define_option);
	each_line("*/*.c", "//config:config ", define_option);
	each_line("*/*/*.c", "//config:config ", define_option);
	if (fclose(out))
		die("include/autoconf.h");

	out = open_or_die("include/applets.h", "w");
	each_line("include/applets.src.h", "", print_or_insert_applets);
	if (fclose(out))
		die("include/applets.h");

	out = open_or_die("include/usage_compressed.h", "w");
	fputs("#define UNPACKED_USAGE \"\"\n#define UNPACKED_USAGE_LENGTH 1\n", out);
	if (fclose(out))
		die("include/usage_compressed.h");

	out = open_or_die("include/common_bufsiz.h", "w");
	fputs("enum { COMMON_BUFSIZE = 1024 };\nextern char bb_common_bufsiz1[];\n"
	      "#define setup_common_bufsiz() ((void)0)\n", out);
	if (fclose(out))
		die("include/common_bufsiz.h");

	for (int i = 0; i < chosen_count; i++) {
		int known = 0;
		chosen[i][strcspn(chosen[i], "=")] = 0;
		for (int j = 0; j < seen_count; j++)
			known |= !strcmp(chosen[i], seen[j]);
		if (!known) {
			fprintf(stderr, "no such option: %s\n", chosen[i]);
			return 1;
		}
	}
	return 0;
}
