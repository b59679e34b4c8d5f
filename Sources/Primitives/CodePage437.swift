/// IBM code page 437 as Unicode: what the character generator of a PC shows for each byte.
///
/// Source: Unicode Consortium mapping table CP437.TXT for 0x20–0xFF; the graphic forms of 0x01–0x1F and 0x7F as IBM's
/// *Graphic Character Identification System* (IBMGRAPH.TXT) gives them.
public enum CodePage437 {
    /// 256 characters by code. 0x00 and 0xFF have no ink and are spaces.
    public static let characters: [Character] = Array(
        " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
            + " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~⌂"
            + "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»"
            + "░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
            + "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ")

    @inline(__always)
    public static func character(_ code: UInt8) -> Character { characters[Int(code)] }
}
