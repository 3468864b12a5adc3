/* xml.c: the kernel in words, its ports and its arguments with their registers: as metadata of an xclbin, and as v++ wants it. */
#include <inttypes.h>

#include "device/device_internal.h"

static const struct { const char *name; uint32_t reg; int bytes, memory; } args[] = {
#define ARG(name, reg, bytes, memory) { #name, reg, bytes, memory },
    PROGRAM_ARGS(ARG)
#undef ARG
};

void device_platform(char name[64], const struct hw *hw, const struct device_place *at)
{
    snprintf(name, 64, "bitpress_%s_%s_1", hw->name, at->what);
}

static void add_kernel(struct base_text *t, const char *language)
{
    base_text_add(t,
                  "    <kernel name=\"" PROGRAM_KERNEL "\" language=\"%s\" vlnv=\"bitpress:rtl:" PROGRAM_KERNEL ":%d.%d\" attributes=\"\" "
                  "preferredWorkGroupSizeMultiple=\"0\" workGroupSize=\"1\" interrupt=\"true\" hwControlProtocol=\"ap_ctrl_hs\">\n",
                  language, PROGRAM_MAJOR, PROGRAM_MINOR);
}

static void add_ports(struct base_text *t, const struct hw *hw)
{
    base_text_add(t,
                  "     <port name=\"m_axi_gmem\" mode=\"master\" range=\"0xFFFFFFFFFFFFFFFF\" dataWidth=\"%d\" portType=\"addressable\" base=\"0x0\"/>\n"
                  "     <port name=\"s_axi_control\" mode=\"slave\" range=\"0x1000\" dataWidth=\"32\" portType=\"addressable\" base=\"0x0\"/>\n",
                  hw->port_bits);
}

static void add_args(struct base_text *t)
{
    for (int i = 0; i < BASE_COUNT(args); i++)
        base_text_add(t,
                      "     <arg name=\"%s\" addressQualifier=\"%d\" id=\"%d\" port=\"%s\" size=\"0x%x\" offset=\"0x%x\" hostOffset=\"0x0\" "
                      "hostSize=\"0x%x\" type=\"%s\"/>\n",
                      args[i].name, args[i].memory, i, args[i].memory ? "m_axi_gmem" : "s_axi_control", (unsigned)args[i].bytes, args[i].reg,
                      (unsigned)args[i].bytes, args[i].memory ? "void*" : args[i].bytes == 8 ? "ulong" : "uint");
}

void device_metadata(struct base_text *t, const struct hw *hw, const struct device_place *at)
{
    base_text_add(t,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<project name=\"" PROGRAM_KERNEL "\">\n"
                  " <platform vendor=\"bitpress\" boardid=\"%s\" name=\"%s\" featureRomTime=\"0\">\n"
                  "  <version major=\"1\" minor=\"0\"/>\n"
                  "  <device name=\"fpga0\" fpgaDevice=\"zynq:%s\" addrWidth=\"0\">\n"
                  "   <core name=\"OCL_REGION_0\" target=\"%s\" type=\"clc_region\" clockFreq=\"%.1fMHz\" numComputeUnits=\"1\">\n"
                  "    <kernelClocks>\n"
                  "     <clock port=\"KERNEL_CLK\" frequency=\"%.1fMHz\"/>\n"
                  "     <clock port=\"DATA_CLK\" frequency=\"%.1fMHz\"/>\n"
                  "    </kernelClocks>\n",
                  hw->name, at->what, hw->part, at->target, hw->clock_mhz, hw->clock_mhz, hw->clock_mhz);
    add_kernel(t, "ip");
    add_ports(t, hw);
    add_args(t);
    base_text_add(t,
                  "     <compileWorkGroupSize x=\"1\" y=\"1\" z=\"1\"/>\n"
                  "     <maxWorkGroupSize x=\"1\" y=\"1\" z=\"1\"/>\n"
                  "     <instance name=\"" PROGRAM_KERNEL "_1\"><addrRemap base=\"0x%" PRIx64 "\" port=\"s_axi_control\"/></instance>\n"
                  "    </kernel>\n   </core>\n  </device>\n </platform>\n</project>\n",
                  at->cu_base);
}

void device_kernel_xml(struct base_text *t, const struct hw *hw)
{
    base_text_add(t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<root versionMajor=\"1\" versionMinor=\"6\">\n");
    add_kernel(t, "ip_c");
    base_text_add(t, "    <ports>\n");
    add_ports(t, hw);
    base_text_add(t, "    </ports>\n    <args>\n");
    add_args(t);
    base_text_add(t, "    </args>\n    </kernel>\n</root>\n");
}
