# Compiles C sources into one static library or one program, side by side under
# the shared job-server, for sources that come without a build system:
#   make -f $STORE_PREFIX/share/c.mk library=libz.a sources="a.c b.c" flags=-DX
#   make -f $STORE_PREFIX/share/c.mk program=xz sources="main.c" libraries=-llzma
objects := $(addsuffix .o,$(basename $(sources)))

$(library): $(objects)
	rm -f $@
	ar qcsD $@ $^

$(program): $(objects)
	cc -s $^ $(strip $(libraries)) -o $@

%.o: %.c
	cc -O2 $(strip $(flags)) -c $< -o $@
