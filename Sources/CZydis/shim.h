/* Zydis for Swift. Header only. */
#ifndef VITRINE_CZYDIS_SHIM_H
#define VITRINE_CZYDIS_SHIM_H

#include <Zydis/Zydis.h>

#endif
