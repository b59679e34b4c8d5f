/// What the 256 characters of the guest's text mode are: the code page of the font that it uses.
///
/// Source: Unicode Consortium, *MAPPINGS/VENDORS/MICSFT/PC* (CP737 to CP866), *MAPPINGS/VENDORS/MISC/KOI8-R.TXT*, *MAPPINGS/ISO8859*.
/// All agree with code page 437 below 0x80.
public enum CodePage: String, CaseIterable, Sendable, Codable {
    case cp437, cp737, cp850, cp852, cp857, cp860, cp863, cp865, cp866
    case koi8r = "koi8-r"
    case latin1, latin2

    /// For people.
    public var title: String {
        switch self {
        case .cp437: "CP437, IBM PC"
        case .cp737: "CP737, Greek"
        case .cp850: "CP850, western Europe"
        case .cp852: "CP852, central Europe"
        case .cp857: "CP857, Turkish"
        case .cp860: "CP860, Portuguese"
        case .cp863: "CP863, Canadian French"
        case .cp865: "CP865, Nordic"
        case .cp866: "CP866, Cyrillic"
        case .koi8r: "KOI8-R, Cyrillic"
        case .latin1: "ISO 8859-1"
        case .latin2: "ISO 8859-2"
        }
    }

    /// The glyphs of bytes 0 to 255; empty cells are spaces.
    public var codePoints: [UInt16] { CodePage.tables[self] ?? CP437.codePoints }

    public func scalar(_ byte: UInt8) -> Unicode.Scalar { Unicode.Scalar(codePoints[Int(byte)]) ?? " " }

    private static let tables: [CodePage: [UInt16]] = {
        var tables: [CodePage: [UInt16]] = [.cp437: CP437.codePoints]
        for (page, text) in upper {
            tables[page] = CP437.codePoints[..<0x80] + text.unicodeScalars.map { UInt16(truncatingIfNeeded: $0.value) }
        }
        return tables
    }()

    /// Bytes 80 to FF.
    private static let upper: [CodePage: String] = [
        .cp737:
            "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρσςτυφχψ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀ωάέήϊίόύϋώΆΈΉΊΌΎΏ±≥≤ΪΫ÷≈°∙·√ⁿ²■ ",
        .cp850:
            "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐"
            + "└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´ ±‗¾¶§÷¸°¨·¹³²■ ",
        .cp852:
            "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐"
            + "└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀ÓßÔŃńňŠšŔÚŕŰýÝţ´ ˝˛ˇ˘§÷¸°¨˙űŘř■ ",
        .cp857:
            "ÇüéâäàåçêëèïîıÄÅÉæÆôöòûùİÖÜø£ØŞşáíóúñÑĞğ¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐"
            + "└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ºªÊËÈ ÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµ ×ÚÛÙìÿ¯´ ± ¾¶§÷¸°¨·¹³²■ ",
        .cp860:
            "ÇüéâãàÁçêÊèÍÔìÃÂÉÀÈôõòÚùÌÕÜ¢£Ù₧ÓáíóúñÑªº¿Ò¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ",
        .cp863:
            "ÇüéâÂà¶çêëèïî‗À§ÉÈÊôËÏûù¤ÔÜ¢£ÙÛƒ¦´óú¨¸³¯Î⌐¬½¼¾«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ",
        .cp865:
            "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø₧ƒáíóúñÑªº¿⌐¬½¼¡«¤░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ",
        .cp866:
            "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√№¤■ ",
        .koi8r:
            "─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■∙√≈≤≥ ⌡°²·÷═║╒ё╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡Ё╢╣╤╥╦╧╨╩╪╫╬©"
            + "юабцдефгхийклмнопярстужвьызшэщчъЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ",
        .latin1:
            "                                 ¡¢£¤¥¦§¨©ª«¬ ®¯°±²³´µ¶·¸¹º»¼½¾¿"
            + "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
        .latin2:
            "                                 Ą˘Ł¤ĽŚ§¨ŠŞŤŹ ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż"
            + "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    ]

    /// Seven-bit stand-ins of the characters that code page 437 has not: each character, then its stand-in.
    public static let standIns: String =
        "¤$¦|§S¨\"©C®R¯-³3´'¶P¸,¹1¾3ÀAÁAÂAÃAÈEÊEËEÌIÍIÎIÏIÐDÒOÓOÔOÕO×xØOÙUÚUÛUÝYÞPãaðdõoøoýyþpĂAăaĄAąaĆCćcČCčc"
        + "ĎDďdĐDđdĘEęeĚEěeĞGğgİIıiĹLĺlĽLľlŁLłlŃNńnŇNňnŐOőoŔRŕrŘRřrŚSśsŞSşsŠSšsŢTţtŤTťtŮUůuŰUűuŹZźzŻZżzŽZžzˇ^˘^"
        + "˙'˛,˝\"ΆAΈEΉHΊIΌOΎYΏOΑAΒBΔDΕEΖZΗHΙIΚKΛLΜMΝNΞXΟOΠPΡRΤTΥYΧCΨPΪIΫYάaέeήhίiβbγgζzηhθtιiκkλlμmνnξxοoρrςsυy"
        + "χcψpωoϊiϋyόoύyώoЁEЄEЇIЎUАAБBВVГGДDЕEЖZЗZИIЙJКKЛLМMНNОOПPРRСSТTУUФFХHЦCЧCШSЩSЪ\"ЫYЬ'ЭEЮUЯAаaбbвvгgдdеe"
        + "жzзzиiйjкkлlмmнnоoпpрrсsтtуuфfхhцcчcшsщsъ\"ыyь'эeюuяaёeєeїiўu‗=№N"
}
