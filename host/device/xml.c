/* xml.c: the metadata section of the xclbin: kernel, ports, arguments with their registers. */
#include <inttypes.h>

#include "device/device_internal.h"

static const struct { const char *name; uint32_t reg; int bytes, memory; } args[] = {
#define ARG(name, reg, bytes, memory) { #name, reg, bytes, memory },
    PROGRAM_ARGS(ARG)
#undef ARG
};

void device_platform(char name[64], const struct hw *hw)
{
    snprintf(name, 64, "bitpress_%s_emulation_1", hw->name);
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

void device_kernel_xml(struct base_text *t, const struct hw *hw)
{
    base_text_add(t,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<project name=\"" PROGRAM_KERNEL "\">\n"
                  " <platform vendor=\"bitpress\" boardid=\"%s\" name=\"emulation\" featureRomTime=\"0\">\n"
                  "  <version major=\"1\" minor=\"0\"/>\n"
                  "  <device name=\"fpga0\" fpgaDevice=\"zynq:%s\" addrWidth=\"0\">\n"
                  "   <core name=\"OCL_REGION_0\" target=\"hw_em\" type=\"clc_region\" clockFreq=\"%.1fMHz\" numComputeUnits=\"1\">\n"
                  "    <kernelClocks>\n"
                  "     <clock port=\"KERNEL_CLK\" frequency=\"%.1fMHz\"/>\n"
                  "     <clock port=\"DATA_CLK\" frequency=\"%.1fMHz\"/>\n"
                  "    </kernelClocks>\n",
                  hw->name, hw->part, hw->clock_mhz, hw->clock_mhz, hw->clock_mhz);
    base_text_add(t,
                  "    <kernel name=\"" PROGRAM_KERNEL "\" language=\"ip\" vlnv=\"bitpress:rtl:" PROGRAM_KERNEL ":%d.%d\" attributes=\"\" "
                  "preferredWorkGroupSizeMultiple=\"0\" workGroupSize=\"1\" interrupt=\"true\" hwControlProtocol=\"ap_ctrl_hs\">\n"
                  "     <port name=\"m_axi_gmem\" mode=\"master\" range=\"0xFFFFFFFFFFFFFFFF\" dataWidth=\"%d\" portType=\"addressable\" base=\"0x0\"/>\n"
                  "     <port name=\"s_axi_control\" mode=\"slave\" range=\"0x1000\" dataWidth=\"32\" portType=\"addressable\" base=\"0x0\"/>\n",
                  PROGRAM_MAJOR, PROGRAM_MINOR, hw->port_bits);
    add_args(t);
    base_text_add(t,
                  "     <compileWorkGroupSize x=\"1\" y=\"1\" z=\"1\"/>\n"
                  "     <maxWorkGroupSize x=\"1\" y=\"1\" z=\"1\"/>\n"
                  "     <instance name=\"" PROGRAM_KERNEL "_1\"><addrRemap base=\"0x%" PRIx64 "\" port=\"s_axi_control\"/></instance>\n"
                  "    </kernel>\n   </core>\n  </device>\n </platform>\n</project>\n",
                  DEVICE_CU_BASE);
}
