/* crew_message: what the ranks of a crew say to each other, and a rank to the process that judges for it. Plain structures: the
 * same program on machines of one kind. An empty message is a rank's sign of life to rank 0; rank 0's, of one byte, dismisses. */
#ifndef CMD_CREW_MESSAGE_H
#define CMD_CREW_MESSAGE_H

#include "search/search.h"

enum { CREW_AT_HAND = 2 };           /* candidates that a rank has: the one it judges and the next */
enum { CREW_BEAT_S = 1 };            /* between signs of life */

enum crew_word { CREW_JOIN, CREW_GO };   /* that byte: on to fine-tuning, or not */

struct crew_order { int id; double hopeless_below; };   /* then the genes */

/* Then three texts, of recipe, message and hint bytes, each with its zero or empty. */
struct crew_answer {
    int id, rc;                      /* id < 0: there is no judging here at all */
    bool lost;                       /* the process that judged it has ended; `message` says how */
    struct search_result result;
    char source[16], board[32];      /* of the result, whose own pointers mean nothing here */
    int recipe, message, hint;
};

#endif
