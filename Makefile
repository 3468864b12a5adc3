# Bitpress. `make help` lists the targets; nothing has to be configured first.
# Sources are found by pattern: a new file in a room, a new tests/unit/test_*.c
# or tests/cli/*.test needs no line here.

CC      ?= gcc
BUILD   ?= build
BOARD   ?= pynq-z2
PREFIX  ?= /usr/local
DESTDIR ?=
JOBS    ?= $(shell nproc)
LD      ?= ld
NM      ?= nm
OBJCOPY ?= objcopy
SAN     ?=
ifeq ($(origin CC),default)
CC := gcc
endif
# The HLS C is made for blocks of 8 pixels; with a BOARD of wider ones the program keeps the smallest board's.
ifndef HLS_BOARD
HLS_BOARD := $(if $(shell grep -sx '  n: 8 *\(\#.*\)\?' boards/$(BOARD)/board.yaml),$(BOARD),pynq-z2)
endif
ifeq ($(SAN),1)
override BUILD := build-asan
endif
ifeq ($(FUZZ),1)
override BUILD := build-fuzz
override CC := clang
endif

, := ,

# ---- packages (Debian 12) ---------------------------------------------------
DEPS := gcc g++ make pkg-config \
        verilator yosys \
        libyaml-dev libcyaml-dev \
        libopenblas-dev libglpk-dev \
        protobuf-c-compiler libprotobuf-c-dev protobuf-compiler libonnx-dev \
        libjansson-dev zlib1g-dev libxxhash-dev libsqlite3-dev \
        libpng-dev libjpeg-dev \
        libxrt-dev ocl-icd-opencl-dev \
        libopenmpi-dev openmpi-bin \
        dataset-fashion-mnist libjs-chart.js
DEPS_TEST := libcmocka-dev clang libclang-rt-14-dev chromium jq tcl

# ---- flags, one per line with its reason ------------------------------------
CFLAGS := -std=gnu11
CFLAGS += -g                       # line numbers in a debugger and in sanitizer reports
ifneq (,$(filter x86_64%,$(shell $(CC) -dumpmachine 2>/dev/null)))
CFLAGS += -march=x86-64-v3         # AVX2, FMA and POPCNT: any x86 of the last ten years
endif                              # boards build `make runtime` for their own processor
CFLAGS += -Wall -Wextra
CFLAGS += -Wshadow                 # a hidden variable is a bug that compiles
CFLAGS += -Wstrict-prototypes      # f() is not f(void)
CFLAGS += -Wmissing-prototypes     # what no header declares must be static
ifeq ($(SAN),1)
CFLAGS += -O1                      # readable stacks at a bearable speed
CFLAGS += -fsanitize=address,undefined
CFLAGS += -fno-sanitize-recover=all # the first finding ends the test
CFLAGS += -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(FUZZ),1)
CFLAGS += -O1
CFLAGS += -fsanitize=fuzzer-no-link,address,undefined # no-link: only the targets get libFuzzer's main
CFLAGS += -fno-sanitize-recover=all
CFLAGS += -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else
CFLAGS += -O3                      # the float engine lives from vectorized loops
ifneq ($(WERROR),0)
CFLAGS += -Werror                  # WERROR=0 for compilers that we have not seen; not with
endif                              # sanitizers, which make gcc see uninitialized values
endif
CPPFLAGS := -Ihost                 # headers are named room/file.h
CPPFLAGS += -I.                    # hls/file.h
CPPFLAGS += -I$(BUILD)/gen         # onnx/onnx.pb-c.h
CPPFLAGS += -I$(BUILD)/gen/$(HLS_BOARD) # the hardware's generated C header
CPPFLAGS += -MMD -MP               # header dependencies beside each object
CPPFLAGS += -DBITPRESS_SHARE_DIR='"$(PREFIX)/share/bitpress"'
LDLIBS := -lcyaml -lyaml           # configuration
LDLIBS += -lopenblas               # BLAS and LAPACK
LDLIBS += -lglpk                   # agent ilp
LDLIBS += -lprotobuf-c             # ONNX
LDLIBS += -ljansson                # JSON
LDLIBS += -lpng -ljpeg             # image folders
LDLIBS += -lz -lxxhash             # gzip, hashes
LDLIBS += -lsqlite3                # the study
LDLIBS += $(shell pkg-config --libs ompi-c 2>/dev/null) # several ranks
LDLIBS += -lpthread -lm -ldl

# ON_BOARD=1: what a board needs (serve, run, score, pack, board; the runtime) without the float engine and what only
# that links. With a SYSROOT (make cross) for another processor, and with libc as the only library.
ifneq (,$(SYSROOT))
ON_BOARD := 1
CPPFLAGS += -isystem $(SYSROOT)/usr/include -isystem $(SYSROOT)/usr/include/$(TRIPLE)
CPPFLAGS += -D_FILE_OFFSET_BITS=64 # 32-bit boards read large files, too
LDFLAGS  += -L$(SYSROOT)/usr/lib/$(TRIPLE) -L$(SYSROOT)/lib/$(TRIPLE)
endif
ifeq ($(ON_BOARD),1)
CPPFLAGS += -DBITPRESS_ON_BOARD
LDLIBS := $(if $(SYSROOT),-Wl$(,)-Bstatic) -lcyaml -lyaml -ljansson -lpng -ljpeg -lz $(if $(SYSROOT),-Wl$(,)-Bdynamic) -lpthread -lm -ldl
endif

# V=1 shows whole commands.
ifneq ($(V),1)
Q := @
endif

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-unversioned)

# ---- sources ----------------------------------------------------------------
# Every room but cmd is one library; NAME_main.c is a program of its own.
ROOM_SRC := $(filter-out host/cmd/% host/runtime/xrt.c host/runtime/opencl.c %_main.c,$(wildcard host/*/*.c)) $(wildcard hls/*.c)
CMD_SRC  := $(wildcard host/cmd/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
BOARDS   := $(notdir $(patsubst %/board.yaml,%,$(wildcard boards/*/board.yaml)))
$(if $(filter $(BOARD),$(BOARDS)),,$(error BOARD=$(BOARD) is none of $(BOARDS)))
ONNX_PROTO := /usr/include/onnx/onnx.proto

ifeq ($(ON_BOARD),1)
ROOM_SRC := $(filter $(foreach r,base config fixed hw pack data accel device score runtime,host/$(r)/%) hls/%,$(ROOM_SRC))
CMD_SRC  := $(patsubst %,host/cmd/%.c,main options output remote serve run score pack board)
endif

ROOM_OBJ := $(ROOM_SRC:%.c=$(BUILD)/obj/%.o)
CMD_OBJ  := $(CMD_SRC:%.c=$(BUILD)/obj/%.o)
GEN_OBJ  := $(if $(ON_BOARD),,$(BUILD)/obj/gen/onnx.pb-c.o)
LIB      := $(BUILD)/libbitpress-all.a
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
GEN_HDR  := $(if $(ON_BOARD),,$(BUILD)/gen/onnx/onnx.pb-c.h)
GEN_HW   := $(foreach b,$(BOARDS),$(BUILD)/gen/$(b)/bitpress_hw_pkg.sv)
RESULTS  := $(abspath $(BUILD))/results

.PHONY: help deps deps-test all demo test test-long test-unit test-cli test-e2e check fuzz fuzz-test sim sim-lib try-sim-lib sim-long \
        lint synth bench-sim bench-area bench-train bitstream cross asan install clean gen FORCE
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "variables: CC BUILD=$(BUILD) BOARD=$(BOARD) SAN=1 PREFIX=$(PREFIX) DESTDIR JOBS=$(JOBS)"

# ---- packages ---------------------------------------------------------------
deps: ## install the Debian packages the program needs, if any is missing
	@scripts/deps.sh $(DEPS)

deps-test: ## the same, with what the tests need
	@scripts/deps.sh $(DEPS) $(DEPS_TEST)

# ---- build ------------------------------------------------------------------
all: $(BUILD)/bitpress runtime ## build/bitpress, and the runtime where XRT's headers are

demo: ## the main job on Fashion-MNIST, from an empty machine to a report
	@BOARD=$(BOARD) ./scripts/demo.sh

$(BUILD)/bitpress: $(CMD_OBJ) $(LIB)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(ROOM_OBJ) $(GEN_OBJ)
	@rm -f $@
	@echo "  AR   $@"
	$(Q)$(AR) rcs $@ $^

# Objects depend on the flags that made them: another CC or PREFIX rebuilds.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(subst ','\'',$(CFLAGS) $(CPPFLAGS))' | cmp -s - $@ || \
	 printf '%s\n' '$(CC) $(subst ','\'',$(CFLAGS) $(CPPFLAGS))' > $@

$(BUILD)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@

$(BUILD)/obj/host/cmd/%.o: host/cmd/%.c $(BUILD)/flags $(BUILD)/version | $(GEN_HDR) $(GEN_HW)
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) -DBITPRESS_VERSION='"$(VERSION)"' $(CFLAGS) -c -o $@ $<

# The hardware generator itself and what it links must not wait for what it makes.
HWGEN_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard host/base/*.c host/config/*.c host/hw/*.c))

$(filter-out $(HWGEN_OBJ),$(ROOM_OBJ)): | $(GEN_HDR) $(GEN_HW)

$(BUILD)/obj/host/dist/%.o: CPPFLAGS += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags ompi-c 2>/dev/null))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# ---- runtime: the library for programs that run packs, the workers that drive a device for bitpress, and the
# emulated device. On a board this is all there is to build; without XRT's headers it is left out.
XRT_HDR := $(wildcard /usr/include/xrt/xrt/xrt_device.h $(XILINX_XRT)/include/xrt/xrt_device.h)
OCL_HDR := $(if $(SYSROOT),,$(wildcard /usr/include/CL/cl.h))
RT_SRC  := $(wildcard host/base/*.c host/pack/*.c) host/fixed/fixed.c $(addprefix host/runtime/,runtime.c wait.c percentile.c)
RT_OBJ  := $(RT_SRC:%.c=$(BUILD)/obj-pic/%.o)
RT_LIB  := $(BUILD)/libbitpress-runtime.so.1
RT_OUT  := $(if $(ON_BOARD),,$(BUILD)/bitpress-simdev $(BUILD)/libbitpress-emu.so)
RT_OUT  += $(if $(XRT_HDR),$(RT_LIB) $(BUILD)/libbitpress-runtime.a $(BUILD)/bitpress-runtime.pc $(BUILD)/bitpress-xrt)
RT_OUT  += $(if $(XRT_HDR),$(if $(OCL_HDR),$(BUILD)/bitpress-opencl))
XRT_INC := -isystem $(if $(XILINX_XRT),$(XILINX_XRT)/include,/usr/include/xrt)
XRT_LD  := $(if $(XILINX_XRT),-L$(XILINX_XRT)/lib) -lxrt_coreutil   # never -lxrt_core beside it: then emulation finds no device
ifneq (,$(SYSROOT))
# To link against: a library with the names of XRT's that the runtime calls. The board has its own, which then is loaded.
XRT_STUB := $(BUILD)/stub/libxrt_coreutil.so
XRT_LD   := $(XRT_STUB) -L$(SYSROOT)/lib/$(TRIPLE)
RT_Z     := -l:libz.so.1
endif
RT_Z    ?= -lz
RT_OBJ_ALL := $(RT_OBJ) $(patsubst %,$(BUILD)/obj-pic/host/runtime/%.o,xrt worker xrt_main opencl opencl_main)
SIMDEV_OBJ := $(patsubst %.c,$(BUILD)/obj-pic/%.o,$(filter-out %/shim.c,$(wildcard sim/simdev/*.c)))

.PHONY: runtime
runtime: $(RT_OUT) ## libbitpress-runtime, workers, emulated device
	$(if $(XRT_HDR),,@echo "runtime: left out: no XRT headers (apt-get install libxrt-dev ocl-icd-opencl-dev)")

$(BUILD)/obj-pic/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) $(XRT_INC) $(CFLAGS) -fPIC -c -o $@ $<

$(RT_LIB): $(RT_OBJ) $(BUILD)/obj-pic/host/runtime/xrt.o host/runtime/runtime.map $(XRT_STUB)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,$(@F) -Wl,--version-script,host/runtime/runtime.map -o $@ $(filter %.o,$^) $(XRT_LD) $(RT_Z) -lpthread -lm
	$(Q)ln -sf $(@F) $(BUILD)/libbitpress-runtime.so

# One object whose other names are its own affair, so that they cannot clash with the program's.
$(BUILD)/libbitpress-runtime.a: $(RT_OBJ) $(BUILD)/obj-pic/host/runtime/xrt.o
	@echo "  AR   $@"
	$(Q)$(LD) -r -o $(BUILD)/obj-pic/runtime.o $^
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='bitpress_*' $(BUILD)/obj-pic/runtime.o
	@rm -f $@
	$(Q)$(AR) rcs $@ $(BUILD)/obj-pic/runtime.o

$(BUILD)/bitpress-runtime.pc: host/runtime/bitpress-runtime.pc.in $(BUILD)/version $(BUILD)/flags
	$(Q)sed -e 's|@VERSION@|$(VERSION)|' $< > $@

$(BUILD)/bitpress-xrt: $(RT_OBJ) $(patsubst %,$(BUILD)/obj-pic/host/runtime/%.o,xrt worker xrt_main) $(XRT_STUB)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(XRT_LD) $(RT_Z) -lpthread -lm

$(BUILD)/bitpress-opencl: $(RT_OBJ) $(patsubst %,$(BUILD)/obj-pic/host/runtime/%.o,opencl worker opencl_main)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lOpenCL -lz -lpthread -lm -ldl

$(BUILD)/bitpress-simdev: $(SIMDEV_OBJ)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -ldl

$(BUILD)/libbitpress-emu.so: $(BUILD)/obj-pic/sim/simdev/shim.o
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -shared -o $@ $^

$(XRT_STUB): $(BUILD)/obj-pic/host/runtime/xrt.o
	@mkdir -p $(@D)
	$(Q)$(NM) -u $< | awk '$$NF ~ /^xrt/ { print "void " $$NF "(void); void " $$NF "(void) { }" }' > $(@D)/stub.c
	$(Q)$(CC) -shared -Wl,-soname,libxrt_coreutil.so.2 -o $@ $(@D)/stub.c

# ---- for another processor ---------------------------------------------------
cross: $(BUILD)/hwgen ## the board's programs for another processor (ARCH=aarch64|armhf), build-ARCH and a tar file
	@scripts/cross.sh '$(ARCH)' $(BUILD)

$(BUILD)/board.tar.gz: $(BUILD)/bitpress $(RT_OUT)
	@echo "  TAR  $@"
	@rm -rf $(BUILD)/tar
	$(Q)install -D -m 755 -t $(BUILD)/tar/bin $(BUILD)/bitpress
	$(Q)install -D -m 755 -t $(BUILD)/tar/lib/bitpress $(BUILD)/bitpress-xrt
	$(Q)install -D -m 755 -t $(BUILD)/tar/lib $(RT_LIB)
	$(Q)ln -s $(notdir $(RT_LIB)) $(BUILD)/tar/lib/libbitpress-runtime.so
	$(Q)install -D -m 644 -t $(BUILD)/tar/include host/runtime/bitpress_runtime.h
	$(Q)install -D -m 644 -t $(BUILD)/tar/lib/pkgconfig $(BUILD)/bitpress-runtime.pc
	$(Q)for b in $(BOARDS); do install -D -m 644 -t $(BUILD)/tar/share/bitpress/boards/$$b boards/$$b/board.yaml; done
	$(Q)tar -C $(BUILD)/tar --owner=0 --group=0 --sort=name -czf $@ bin lib include share

# ---- generated sources ------------------------------------------------------
gen: $(GEN_HDR) $(GEN_HW)

$(BUILD)/gen/onnx/onnx.pb-c.c $(BUILD)/gen/onnx/onnx.pb-c.h &: $(ONNX_PROTO)
	@mkdir -p $(BUILD)/gen/onnx
	@echo "  GEN  $@"
	$(Q)protoc-c --proto_path=$(dir $(ONNX_PROTO)) --c_out=$(BUILD)/gen/onnx $(notdir $(ONNX_PROTO))

# Generated code: our warnings are not its business.
$(GEN_OBJ): $(BUILD)/gen/onnx/onnx.pb-c.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -I$(BUILD)/gen/onnx -c -o $@ $<

# One hardware description, many readers: the SystemVerilog package and the C header.
HWGEN ?= $(BUILD)/hwgen
$(BUILD)/hwgen: $(HWGEN_OBJ)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/gen/%/bitpress_hw_pkg.sv $(BUILD)/gen/%/bitpress_hw.h &: boards/%/board.yaml $(HWGEN)
	@mkdir -p $(BUILD)/gen/$*
	@echo "  GEN  $@"
	$(Q)$(HWGEN) $< $(BUILD)/gen/$*

# ---- tests ------------------------------------------------------------------
# Every part appends `PASS name`, `FAIL name` or `SKIP name: reason` to $(RESULTS).
$(BUILD)/tests/%: tests/unit/%.c $(LIB) $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) -lcmocka $(LDLIBS)

# Programs that end-to-end tests use; they find them beside the program under test.
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))
$(BUILD)/tests/%: tests/tools/%.c $(LIB) $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

CLI_TESTS := $(sort $(wildcard tests/cli/*.test))
E2E_TESTS := $(sort $(wildcard tests/e2e/*.sh))
E2E_BOARDS := $(shell grep -l emulation.lock $(E2E_TESTS))   # these wait for each other
# $(call each,COMMAND,FILES): COMMAND with each of them, several side by side
each = printf '%s\n' $(2) | xargs -P $(or $(3),$(JOBS)) -r -n 1 $(1)
RUN_E2E := env BITPRESS=$(abspath $(BUILD))/bitpress BOARD=$(BOARD) tests/run_e2e.sh $(RESULTS)

test: deps-test ## everything in at most 15 minutes; the last line counts
	@$(MAKE) --no-print-directory -j$(JOBS) try-sim-lib all $(BUILD)/unit-built $(TOOLS)
	@mkdir -p $(BUILD) && : > $(RESULTS)
	@if $(MAKE) --no-print-directory check; then echo "PASS check"; else echo "FAIL check"; fi | tee -a $(RESULTS)
	@-$(call each,tests/run_unit.sh $(RESULTS),$(sort $(UNIT_BIN)))
	@-$(call each,env BITPRESS=$(abspath $(BUILD))/bitpress tests/cli/run.sh $(RESULTS),$(CLI_TESTS))
	@-$(MAKE) --no-print-directory -j$(JOBS) fuzz-test
	@tests/run_sim.sh $(RESULTS) $(MAKE) --no-print-directory -C sim BOARD=$(BOARD) BUILD=$(abspath $(BUILD))
	@-$(call each,$(RUN_E2E),$(E2E_BOARDS),1) & $(call each,$(RUN_E2E),$(filter-out $(E2E_BOARDS),$(E2E_TESTS))); wait
	@tests/summary.sh $(RESULTS)

test-long: test ## the tests, then the longer simulations and end-to-end runs
	@: > $(RESULTS)
	@tests/run_sim.sh $(RESULTS) $(MAKE) --no-print-directory -C sim long BOARD=$(BOARD) BUILD=$(abspath $(BUILD))
	@-export E2E_TIMEOUT=7200; $(call each,$(RUN_E2E),$(wildcard tests/e2e/long/*.sh))
	@tests/summary.sh $(RESULTS)

.PHONY: $(BUILD)/unit-built fuzz-built
$(BUILD)/unit-built: $(UNIT_BIN)

test-unit: $(filter $(BUILD)/tests/test_$(T)%,$(UNIT_BIN)) ## unit tests (T=NAME: only test_NAME*)
	@: > $(RESULTS)
	@-$(call each,tests/run_unit.sh $(RESULTS),$(filter $(BUILD)/tests/test_$(T)%,$(sort $(UNIT_BIN))))
	@tests/summary.sh $(RESULTS)

test-cli: $(BUILD)/bitpress ## command-line tests (T=NAME: only tests/cli/NAME*.test)
	@: > $(RESULTS)
	@-$(call each,env BITPRESS=$(abspath $(BUILD))/bitpress tests/cli/run.sh $(RESULTS),$(filter tests/cli/$(T)%,$(CLI_TESTS)))
	@tests/summary.sh $(RESULTS)

test-e2e: $(BUILD)/bitpress runtime $(TOOLS) ## end-to-end tests (T=NAME: only tests/e2e/NAME*.sh)
	@: > $(RESULTS)
	@-$(call each,$(RUN_E2E),$(filter tests/e2e/$(T)%,$(E2E_TESTS)))
	@tests/summary.sh $(RESULTS)

check: ## room levels, rules of the HLS C, shell syntax
	@tests/check_levels.sh host
	@tests/check_hls.sh hls
	@for f in $(wildcard scripts/*.sh tests/*.sh tests/*/*.sh .ci/run); do bash -n $$f || exit 1; done

asan: gen ## unit and command-line tests under ASan and UBSan
	@$(MAKE) --no-print-directory -j$(JOBS) SAN=1 all build-asan/unit-built
	@-$(MAKE) --no-print-directory -C sim lib BOARD=$(BOARD) BUILD=$(abspath $(BUILD))
	@: > $(abspath build-asan)/results
	@-export BITPRESS_SIM=$(abspath $(BUILD))/sim; $(call each,tests/run_unit.sh $(abspath build-asan)/results,$(sort $(UNIT_SRC:tests/unit/%.c=build-asan/tests/%)))
	@-export BITPRESS_SIM=$(abspath $(BUILD))/sim; $(call each,env BITPRESS=$(abspath build-asan)/bitpress tests/cli/run.sh $(abspath build-asan)/results,$(CLI_TESTS))
	@tests/summary.sh $(abspath build-asan)/results

# Fuzz targets need the rooms that read files, built by clang into build-fuzz.
FUZZ_SECONDS ?= 4
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(patsubst %,host/%/*.c,base config tensor fixed hw pack data graph accel onnx nn compress) host/device/frame.c host/device/session.c))

$(BUILD)/fuzz/fuzz.a: $(filter-out %_main.o,$(FUZZ_OBJ)) $(GEN_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/fuzz.a
	@echo "  CC   $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(BUILD)/fuzz/fuzz.a $(LDLIBS)

fuzz-built: $(FUZZ_BIN)

fuzz: ## file readers under libFuzzer, FUZZ_SECONDS each
	@mkdir -p $(dir $(RESULTS)) && : > $(RESULTS)
	@-$(MAKE) --no-print-directory -j$(JOBS) fuzz-test
	@tests/summary.sh $(RESULTS)

fuzz-test:
	@if echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	    clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null; then \
	    if $(MAKE) --no-print-directory FUZZ=1 fuzz-built; then \
	        $(call each,tests/run_fuzz.sh $(RESULTS) $(FUZZ_SECONDS),$(FUZZ_SRC:tests/fuzz/%.c=build-fuzz/fuzz/%)); \
	    else echo "FAIL fuzz (does not build)" >> $(RESULTS); fi; \
	 else echo "SKIP fuzz: clang lacks libFuzzer (apt-get install libclang-rt-14-dev)" >> $(RESULTS); fi

# ---- hardware (rules in sim/Makefile) ---------------------------------------
sim: gen ## RTL benches and whole networks in Verilator (FILTER=, SEED=, N=; JUNIT=FILE: results as XML)
	@mkdir -p $(BUILD) && : > $(RESULTS)
	@tests/run_sim.sh $(RESULTS) $(MAKE) --no-print-directory -C sim BOARD=$(BOARD) BUILD=$(abspath $(BUILD))
	@tests/summary.sh $(RESULTS)

try-sim-lib: gen # beside other things, which do not end with it
	@-$(MAKE) --no-print-directory sim-lib

sim-lib: gen ## the simulated accelerator that the verilator backend loads
	@$(MAKE) --no-print-directory -C sim lib BOARD=$(BOARD) BUILD=$(abspath $(BUILD))

sim-long: gen ## the same, longer
	@mkdir -p $(BUILD) && : > $(RESULTS)
	@tests/run_sim.sh $(RESULTS) $(MAKE) --no-print-directory -C sim long BOARD=$(BOARD) BUILD=$(abspath $(BUILD))
	@tests/summary.sh $(RESULTS)

lint: gen ## verilator --lint-only -Wall
	@$(MAKE) -C sim lint BOARD=$(BOARD) BUILD=$(abspath $(BUILD))

synth: gen ## Yosys: LUT, FF, BRAM, DSP against BOARD's budget
	@$(MAKE) -C sim synth BOARD=$(BOARD) BUILD=$(abspath $(BUILD))

bench-area: gen $(BUILD)/bitpress ## Yosys' count of several arrays beside the predicted one (SHAPES="N:DRAIN ...")
	@scripts/bench_area.sh $(abspath $(BUILD)) $(wildcard rtl/*_pkg.sv) $(filter-out %_pkg.sv,$(wildcard rtl/*.sv))

bench-sim: gen ## simulation speed
	@$(MAKE) -C sim bench BOARD=$(BOARD) BUILD=$(abspath $(BUILD))

bitstream: $(BUILD)/gen/$(BOARD)/bitpress_hw_pkg.sv $(BUILD)/bitpress ## BOARD's bitstream by Vivado and Vitis (untested: needs Vivado, Vitis)
	@scripts/bitstream.sh $(BOARD) $(abspath $(BUILD)) $(abspath $<)

# ---- speed of the float engine ----------------------------------------------
$(BUILD)/bench-train: $(BUILD)/obj/host/nn/bench_main.o $(LIB)
	@echo "  CC   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Each Python of TORCH that has PyTorch takes part, as it is and with torch.compile; the others say why not.
TORCH   ?= $(or $(BITPRESS_PYTHON),python3)
ROWS    ?= lenet,resnet20,resnet56,mobilenet-v1-x0.5
SECONDS ?= 1
bench-train: $(BUILD)/bench-train ## speed of training and inference against the cores' peak and PyTorch (TORCH=python3)
	@$(BUILD)/bench-train $(JOBS) $(SECONDS) $(ROWS) \
	 $(foreach p,$(TORCH),$(foreach how,eager compile,"$(p) tests/outside/torch_bench.py $(JOBS) 128 $(how) 2>/dev/null"))

# ---- accuracy of quantization without training -------------------------------
.PHONY: bench-ptq
bench-ptq: $(BUILD)/bitpress ## post-training quantization of ResNet-20 (BITPRESS_MODELS, BITPRESS_CIFAR10)
	@dir=$$(mktemp -d); SCRATCH=$$dir BITPRESS=$(abspath $(BUILD))/bitpress bash tests/e2e/long/ptq.sh; rc=$$?; rm -rf $$dir; exit $$rc

# ---- agents of the search -----------------------------------------------------
.PHONY: bench-ranks
bench-ranks: $(BUILD)/bitpress ## one search by one process and by mpirun -n RANKS, one thread each (RANKS=2 TRIALS=60)
	@BITPRESS=$< scripts/bench_ranks.sh $(or $(RANKS),2) $(or $(TRIALS),60)

.PHONY: bench-master
bench-master: $(BUILD)/tests/test_search_agents ## the search's own speed: proposals a second and idle time with 1 to 256 simulated workers (AGENTS="gp tpe")
	@BITPRESS_BENCH="$(or $(AGENTS),random evolve tpe)" BITPRESS_WORKERS=1 $< 2>&1 | sed -un 's/^# //p'

.PHONY: bench-agents
bench-agents: $(BUILD)/tests/test_search_agents ## agents on planted problems: mean of the best over 5 seeds (AGENTS="gp tpe", PARALLEL=N trials in flight)
	@BITPRESS_BENCH="$(or $(AGENTS),all)" BITPRESS_PARALLEL=$(or $(PARALLEL),1) $< 2>&1 | sed -un 's/^# //p'

.PHONY: bench-ablation
bench-ablation: $(BUILD)/tests/test_search_agents ## the agent ddpg with each defect of its model, on a planted problem, 5 seeds
	@BITPRESS_ABLATION=1 $< 2>&1 | sed -un 's/^# //p'

.PHONY: bench-search
bench-search: $(BUILD)/bitpress sim-lib ## experiments on the search, resumable (BITPRESS_CIFAR10; ROWS="headline agents joint boards speed", SEEDS, TRIALS, OUT)
	@scripts/bench_search.sh $(abspath $(BUILD))/bitpress

# ---- results: recipes on the trained networks of configs/zoo -------------------
.PHONY: bench-anchors
bench-anchors: $(BUILD)/bitpress ## cycles of the networks of published FPGA designs (docs/comparison.md; NETS="NAME ...", WIDTHS="8 4")
	@BOARD=$(BOARD) scripts/bench_anchors.sh $(abspath $(BUILD))/bitpress

.PHONY: bench-compress
bench-compress: $(BUILD)/bitpress sim-lib ## the rows of configs/results on CIFAR-10, resumable (BITPRESS_CIFAR10; ROWS="NAME ...", OUT=DIR)
	@scripts/bench_compress.sh $(abspath $(BUILD))/bitpress

# ---- several ranks --------------------------------------------------------------
.PHONY: bench-distributed
bench-distributed: $(BUILD)/bitpress ## training by several ranks: accuracy, bytes, time (BITPRESS_CIFAR10; PARTS, EPOCHS, OUT: scripts/bench_distributed.sh)
	@scripts/bench_distributed.sh $(abspath $(BUILD))/bitpress

# ---- install ----------------------------------------------------------------
install: all ## into DESTDIR/PREFIX, with the simulators that are built
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/bitpress
	install -m 755 $(BUILD)/bitpress $(DESTDIR)$(PREFIX)/bin/bitpress
	install -d $(DESTDIR)$(PREFIX)/lib/bitpress $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(filter-out %.a %.pc $(RT_LIB),$(RT_OUT)) $(DESTDIR)$(PREFIX)/lib/bitpress/
ifneq (,$(XRT_HDR))
	install -m 755 $(RT_LIB) $(DESTDIR)$(PREFIX)/lib/
	ln -sf $(notdir $(RT_LIB)) $(DESTDIR)$(PREFIX)/lib/libbitpress-runtime.so
	install -m 644 $(BUILD)/libbitpress-runtime.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 $(BUILD)/bitpress-runtime.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	install -m 644 host/runtime/bitpress_runtime.h $(DESTDIR)$(PREFIX)/include/
endif
	cp -r boards configs $(DESTDIR)$(PREFIX)/share/bitpress/
	install -d $(DESTDIR)$(PREFIX)/share/doc/bitpress
	cp -r README.md LICENSE docs $(DESTDIR)$(PREFIX)/share/doc/bitpress/
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(BUILD)/bitpress --help=man > $(DESTDIR)$(PREFIX)/share/man/man1/bitpress.1
	for c in $$($(BUILD)/bitpress --help=commands); do \
	 $(BUILD)/bitpress $$c --help=man > $(DESTDIR)$(PREFIX)/share/man/man1/bitpress-$$c.1 || exit 1; done
	install -D -m 644 scripts/bitpress.bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bitpress
	for b in $(BOARDS); do lib=sim/$$b/libbpsim.so; [ ! -f $(BUILD)/$$lib ] || \
	 install -D -m 755 $(BUILD)/$$lib $(DESTDIR)$(PREFIX)/share/bitpress/$$lib; done

clean: ## remove everything that was built
	rm -rf build build-asan build-fuzz build-aarch64 build-armhf $(BUILD)

-include $(TOOLS:=.d) $(RT_OBJ_ALL:.o=.d) $(SIMDEV_OBJ:.o=.d) $(ROOM_OBJ:.o=.d) $(CMD_OBJ:.o=.d) $(UNIT_BIN:=.d) $(FUZZ_BIN:=.d) $(BUILD)/obj/host/hw/hwgen_main.d $(BUILD)/obj/host/nn/bench_main.d
