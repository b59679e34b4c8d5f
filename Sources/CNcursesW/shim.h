/* ncursesw for Swift: what the importer cannot take (macros, variables) as inline functions. Header only. */
#ifndef VITRINE_CNCURSESW_SHIM_H
#define VITRINE_CNCURSESW_SHIM_H

#define NCURSES_WIDECHAR 1
#define NCURSES_NOMACROS 1

#include <locale.h>
#include <langinfo.h>
#include <curses.h>
#include <term.h>

static inline attr_t cw_bold(void) { return WA_BOLD; }
static inline attr_t cw_dim(void) { return WA_DIM; }
static inline attr_t cw_italic(void) { return WA_ITALIC; }
static inline attr_t cw_underline(void) { return WA_UNDERLINE; }
static inline attr_t cw_reverse(void) { return WA_REVERSE; }
static inline attr_t cw_blink(void) { return WA_BLINK; }

/* Both are 0 until start_color(). */
static inline int cw_colors(void) { return COLORS; }
static inline int cw_color_pairs(void) { return COLOR_PAIRS; }

static inline int cw_codeset(void) { return CODESET; }

#endif
