//! Literals of each type: picked by hand, and varied at random with a fixed seed.

use pgveil::value::Scalar;

const TEXTS: &str = "|a|ab |abc|abcd|abc   | x|ä|äöü|äöüß|äöüß  |😀😀😀|\t|\\|{\"|null|NULL|a\nb";
const NAMES: &str = "a|A b|xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx|äxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxäää";
const BOOLS: &str = "t|true|TRUE|tr|y|yes|on|o|of|off|f|false|fals|n|no|1|0|11| true | T\n|tru e||-1|yess";
const INTEGERS: &str = "0|1|-1|+5| 7 |\t8\n|32767|32768|-32768|-32769|2147483647|2147483648|-2147483648|-2147483649|9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809|007|-0|1_000|0x1F|1.0|1e3||-|+|- 1|--1|12a|99999999999999999999999|٣";
const FLOATS: &str = "0|-0|1|1.5|-1.5|.5|5.|1e10|1E-5|1e15|1e14|123456789012345|1234567890123456|12345678901234567|1e23|9e23|0.1|0.30000000000000004|3.4028235e38|3.4028236e38|3.5e38|1e-45|1.4e-45|7e-46|1e-46|1.7976931348623157e308|1.8e308|4.9e-324|2e-324|2.2250738585072014e-308|NaN|nan|inf|-inf|Infinity|+infinity|-INFINITY| 1 |0x10|1e|e5|1_0|.|+.5|--1|1 2||0.00001|0.0001|100000|1000000|9999999|16777216|16777217|33554432|1e6|123456.7|9007199254740993|18014398509481984|36028797018963968|2e15|5e-324|nan(1)|0e999|1e-400|3.14159265358979|2.00000762939453125|1.00000762939453125|0.5000000000000002|2.2250738585072011e-308|4.4501477170144023e-308|6e23|1.1754944e-38|9.5367431640625e-07";
const NUMERICS: &str = "0|-0|0.0|0.000|1|1.0|1.10|-1.5|.5|5.|1e5|1.5e3|1.5e-3|1E+2|12345.6789|0.005|0.015|-0.005|0.995|99.995|999.994|999.995|9999|10000|100000000|0.0001|0.00001|1234567890.0987654321|99999999999999999999999999.99|NaN|nan|Infinity|-infinity|inf|+inf|+Infinity|infin| 1.5 |1 2|1e|e1|--1|+1|1_000|0x1||.|-.|1.2.3|1e400|1e-400|1e131071|1e131072|1e-16383|1e-16384|0e200000|1e999999999999|0.00e3|100.00e-2|-NaN";
const BYTEAS: &str = "|\\x|\\x00ff|\\xDEADbeef|\\xde ad\n be|\\x0|\\x0g|\\x d|abc|a\\\\b|\\000\\377|\\400|\\38|\\x1 2|\\|\\\\|äö|\\X00| \\x00|a'b|\\001\\010~\\177";
const UUIDS: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|A0EEBC999C0B4EF8BB6D6BB9BD380A11|{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}|a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11|{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1| a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|a-0eebc999c0b4ef8bb6d6bb9bd380a11|a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-|g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|";
const DATES: &str = "2024-01-31|2024-02-29|2023-02-29|1999-12-31|0001-01-01|0000-01-01|0044-03-15 BC|4714-11-24 BC|4714-11-23 BC|5874897-12-31|5874898-01-01|294276-12-31|294277-01-01|infinity|-infinity|Infinity|epoch|01/02/2003|31/12/2003|12/31/2003|1/2/03|01-02-03|99-01-08|08-01-99|1.2.2003|31.12.2003|Jan 31 2024|January 31, 2024|31 Jan 2024|31-Jan-2024|Jan-31-2024|2024-Jan-31|31-Jan-24|24-Jan-31|Jan 31, 2024 BC|20240131|240131|2024.031|2024-031|2024-1-5|2024-01-31 12:34:56|2024-01-31 24:00:00|2024-01-31T12:34:56Z|Wed Jan 31 2024|wednesday, 2024-01-31|Wed Jul 31 12:34:56 2024|Wed Jul 31 12:34:56 2024 CEST|2024-13-01|2024-00-10|2024-01-00|2024-01-32|2024-04-31|20241301| 2024-01-31 |2024-01-31 AD|today|now|yesterday|tomorrow|J2451187|y2024m01d31|2024/01/31|2024/1/31|1/31|2024||abc|-|2024-01|2024-01-31-5|2024-01-31 foo|Sept 5 2024|Feb 30 2024|2024-01-31 +02|2024-01-31 America/New_York|12345-01-01|12345678-01-01|99999999999-01-01|1/1/0001|0099-01-01|31 January 2024|2024-060|2024-366|2023-366|1 Mar 68|1 Mar 70|31jan2024|jan31,2024|2024-jan-31 bc|at 2024-01-31";
const TIMESTAMPS: &str = "2024-01-31 12:34:56|2024-01-31 12:34:56.789|2024-01-31 12:34:56.1234567|2024-01-31 12:34:56.9999995|2024-01-31 12:34:56.9999994|2024-01-31T12:34:56|2024-01-31T12:34:56Z|2024-01-31T12:34:56.5+02:00|2024-01-31 12:34:56+02|2024-01-31 12:34:56-0330|2024-01-31 12:34:56 +05:30:15|2024-01-31 12:34|2024-01-31 12|2024-01-31|20240131T123456|20240131T123456Z|20240131 123456|20240131123456|2024-01-31 1:2:3|2024-01-31 12:34:56 PM|2024-01-31 01:34:56 PM|2024-01-31 12:00 AM|2024-01-31 13:00 AM|2024-01-31 24:00:00|2024-01-31 24:00:01|2024-01-31 23:59:60|2024-01-31 23:59:60.5|2024-01-31 12:60:00|2024-12-31 23:59:59.9999999|1999-12-31 23:59:59.999999|1969-12-31 23:59:59.5|0044-03-15 12:00:00 BC|4714-11-24 00:00:00 BC|4714-11-23 23:59:59 BC|294276-12-31 23:59:58|294277-01-01 00:00:00|5874897-01-01 00:00|infinity|-infinity|epoch|Wed Jul 31 12:34:56 2024|Wed Jul 31 12:34:56 2024 CEST|Wed 31 Jul 12:34:56.5 2024 EDT|Wed Jul 31 12:34:56.123456 2024 +0330|Wed Jul 31 12:34:56 2024 MSK|Sun Mar 15 12:00:00 0044 LMT BC|07/31/2024 12:34:56 PDT|31/07/2024 12:34:56 IST|31.07.2024 12:34:56 CEST|31.07.2024 12:34:56|2024-07-31 12:34:56 EST|2024-07-31 12:34:56 EDT|2024-07-31 12:34:56 AEST|2024-07-31 12:34:56 MSD|2011-01-01 00:00 MSK|2013-01-01 00:00 MSK|2024-07-31 12:34:56 UTC|2024-07-31 12:34:56 z|2024-07-31 12:34:56 Europe/Berlin|2024-07-31 12:34:56 europe/berlin|2024-07-31 12:34:56 America/New_York BC|2024-07-31 12:34:56 Foo/Bar|2024-07-31 12:34:56 EST5EDT|2024-07-31 12:34:56 Japan|2024-07-31 12:34:56 foo|2024-03-31 02:30:00|2024-10-27 02:30:00|2024-03-10 02:30:00|2024-11-03 01:30:00|2024-11-03 01:30:00 America/New_York|2024-03-10 02:30:00 America/New_York|2024-10-06 02:15|2014-10-26 01:30|1900-01-01 00:00|1883-11-18 12:03:58|1883-11-18 12:00|1850-06-01 12:00|1940-05-16 12:00|1970-01-01 00:00|2038-01-19 03:14:08|2100-07-01 12:00|9999-12-31 23:59:59|10000-07-01 12:00|20000-07-01 12:00|123456-07-04 05:06:07.89|2024-01-31 12:34:56+15:59|2024-01-31 12:34:56+16|2024-01-31 12:34:56+05:60|2024-01-31 12:34:56+0545|2024-01-31 12:34:56+054530|2024-01-31 +05 12:34|now|today 12:00|tomorrow|2024-01-31 allballs| 2024-01-31  12:34:56 |12:34:56 2024-01-31|Jan 31 12:34:56 2024|Jan 31 2024 12:34 pm|31 Jan 2024 12:34:56 -08|2024-01-31 12:34:56 MET DST|2024-01-31T|T12:34|2024-01-31 12:34:56 12:34||abc|2024-01-31 12:34:56.|2024-01-31 12:34.5|2024-01-31 :34|2024-01-31 12:|2024-01-31T123456+02|2024-01-31 123456-08|2024-01-31 1234|2024-01-31 123456.789|2024-01-31 040506-8|12/31/2024 11:59:59 PM|2024-01-31 12:34:56 at|2024-01-31 on 12:34|2024-01-31 12:34:56 GMT+5|2024-01-31 12:34:56 <+02>-02";
const TIMES: &str = "12:34:56|12:34|00:00:00|24:00:00|24:00:01|23:59:60|23:59:59.9999999|12:34:56.789|12:34:56.1234565|1:2:3|12:34:56 PM|12:34:56 AM|1:30 pm|13:30 pm|123456|123456.789|1234|12|12345|T12:34:56|T123456|12:34:56+02|12:34:56-03:30|12:34:56+02:30:15|12:34:56 +5|12:34:56Z|12:34:56 UTC|12:34:56 EST|12:34:56 EDT|12:34:56 CEST|12:34:56 MSK|12:34:56 America/New_York|12:34:56 UTC+3|2024-07-31 12:34:56|2024-01-31 12:34:56 Europe/Berlin|2024-07-31 12:34:56 America/New_York|2024-01-31T12:34:56+01|12:34:56 2024-07-31|allballs|now|25:00|12:60|12:34:61|-1:00|12:34.5|:34|12:|abc||12:34:56 foo|12:34:56+16|040506-08|040506+08|Jul 31 12:34|  01:02:03  |12:34:56.|12:34:56 at|24:00|0:0|00:00:00.000001|12:34:56.0000005|12:34:56.0000015|12:34:56.5 BC|12:34:56+00|12:34:56-00:00:01";
const INTERVALS: &str = "1|-1|1.5|0|1 day|-1 day|1 day -1 hour|-1 day +02:03|1 year 2 mons 3 days 04:05:06|1 year 2 mons -3 days +04:05:06.789|-1 years -2 mons +3 days -04:05:06.789|@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs|@ 1 year 2 mons -3 days 4 hours 5 mins 6.7 secs ago|@ 0|00:00:00|1-2|-1-2|+1-2 +3 +4:05:06|-1-2 +3 -4:05:06.789|1-2 3 4:05:06|3 4:05:06|4:05:06|-4:05:06|-3 4:05:06|P1Y2M3DT4H5M6S|P1Y2M3DT4H5M6.789S|P-1Y-2M3DT-4H-5M-6S|PT0S|P1W|P0.5Y|P1.5M|P1.5D|PT1.5H|P0001-02-03T04:05:06|P0001-02|P00010203T040506|P00010203|PT040506|PT04:05:06|PT04:05|P|PT|P1|P1S|PT1Y|P1YT|1 week|1.5 weeks|1.5 months|1.5 years|0.1 years|1 decade|2 centuries|1 millennium|100 ms|100 us|1.5 msec|1 sec|1.0000005 sec|1.9999999 sec|10 seconds|1 quarter|1 y 2 mon 3 d 4 h 5 m 6 s|1y2mon3d|1 year ago|1 day ago 2 hours|ago|1 ago|100 hours|1000000:00:00|-100:00:00|1:2|1:2.5|01:02:03.4567899|1 02:03|2147483647 days|2147483648 days|-2147483648 days|2147483647 mons|178956970 years|178956971 years|9223372036854775807 us|9223372036854775808 us|2562047788:00:54.775807|2562047789:00:00|-2562047788:00:54.775808|infinity|-infinity|today|1 foo||day|1 2 days|1 day 1 day|1 hour 1:00|1.5 days 1.5 hours| 1 day |P1Y |1e3 s|P1e2D|12 months 30 days|1 mon -1 day|-1 mon 1 day 00:00:01|-00:00:00.5|00:00:00.000001|+1 day|- 1 day|1 day, 2 hours|3 days 04:05|-0.5 s|1-13|1--2|.5 day|1. day|-1.5 days|365 days 23:59:59.999999|1 year -1 mon|5 years 5|P1Y2M10DT2H30M|P2147483648Y|PT1e16S|P1.5W";

const OIDS: &str = "0|1|-1| 12 |4294967295|4294967296|-2147483648|-2147483649|abc||+5|1.0|99999999999999999999|12 3";
const BITS: &str = "|0|1|101|B101|b1010|x1F|Xff|xG|2|10101010101|0000000|111| 101|1 0|x|b|x123";
const INETS: &str = "192.168.1.5|192.168.1.5/24|192.168.1.0/24|10/8|10.1/16|10|10.|192.168.1.5.|0.0.0.0/0|255.255.255.255/32|1.2.3.4/33|1.2.3.256|1.2.3.4.5|1.2.3|224.1.2.3|128.1|192.1.2|240.1|224|::1|::|::/0|::1/128|2001:db8::/32|2001:DB8::1/64|1:2:3:4:5:6:7:8|1:2:3:4:5:6:7::|::ffff:1.2.3.4|::1.2.3.4|::ffff:0:1.2.3.4|1::8|1:0:0:2::3|fe80::1%eth0|1:2|:::|::1/129|::1/01|12345::|abc|| 1.2.3.4|1.2.3.4 |01.02.03.04|1.2.3.4/|1.2.3.4/08|10.0.0.0/7|11.0.0.0/7|2001:db8::1/32|0:0:0:0:0:0:0:1|0:0:1:0:0:0:0:1|::2:3|::0.0.1.2|1..2";
const MACS: &str = "08:00:2b:01:02:03|08-00-2B-01-02-03|08002b:010203|08002b-010203|0800.2b01.0203|0800-2b01-0203|08002b010203|8:0:2b:1:2:3|8:0:2b:1:2:100|08:00:2b:01:02|08:00:2b:01:02:03:04| 08:00:2b:01:02:03 |08:00:2b:01:02:03 x|08:00-2b:01:02:03|gg:00:2b:01:02:03||08:00:2b:01:02:03:04:05|08-00-2b-01-02-03-04-05|08002b:0102030405|08002b01:02030405|08002b.0102030405|08002b0102030405|0800.2b01.0203.0405|08:00:2b:ff:fe:01:02:03|08002b01020|0800:2b01:0203:0405";
const MONEYS: &str = "0|1|-1|$1|-$1|$-1|($1.50)|1.5|1.505|1.504|1,234,567.89|$ 1 |1-|1 $|1.2.3|abc||12345678901234567890|92233720368547758.07|92233720368547758.08|-92233720368547758.08|-92233720368547758.09|0.005|-0.005|+1|1e5|1,,2|.5|-.5|--1|$$1|1.999";
const JSONS: &str = "{}|[]|1|-0|0|\"a\"|null|true|false| null |nul|True|{\"a\":1}|{\"b\":1,\"a\":2,\"b\":3}|{\"bb\":1,\"a\":{\"z\":[1,2,{}]}}|[1, 2.50,1e3,-1.5E-2, 1E+2]|01|1.|.5|-|1e|1x|[1,]|{\"a\"}|{\"a\":}|{a:1}|[1 2]|\"\\u00e4\"|\"\\ud83d\\ude00\"|\"\\ud83d\"|\"\\ude00\"|\"\\ud83dx\"|\"\\u0000\"|\"\\u0001\\n\\/\\b\\f\\r\\t\\\\\"|\"\t\"|\"\\x\"|\"a|{\"a\":1}}|[[[[]]]]|{\"\":\"\"}|\"ä😀\"|\"\\u007f\"|||\"a\" \"b\"|1e400|1e200000|{\"a\":null,\"b\":[true,false]}|\n[\r\t1 ]";
const CHARS: &str = "a|ab||ä|\\|\\101|\\1|\\377|\\400| |~";

const LSNS: &str = "0/0|16/B374D848|ffffffff/FFFFFFFF|1/100000000|/1|1/|1|G/0| 0/0|0/0 ||-1/0|0001/0002";
const SNAPSHOTS: &str = "1:1:|10:20:10,14,15|10:20:10,10,12|10:20:9|10:20:20|10:20:15,14|20:10:|0:5:|10:20:10,|10:20|:|1:2:1,|a:b:|10:20:,|12:16:14,14| 1:1:";
const POINTS: &str = "(1,2)|1,2| ( 1.5 , -2 ) |(1,2|1,2)|(1,2,3)|(nan,inf)|(1e3,-1E-5)|1 2||(a,b)|()|(1,)|(0x1,2)|( 1 , 2 ) x|(-0,0)|1e400,1|(Infinity,-infinity)|(infinit,1)";
const LINES: &str = "{1,2,3}|{0,0,1}|{1e-7,1e-7,1}|{ 1 , -2 , 3.5 } |(0,0),(1,1)|[(0,0),(1,1)]|{1,2}|{1,2,3,4}|{1,2,3|1,2,3||{nan,inf,0}|(1,1),(1,1)|{-1,0,5}";
const PATHS: &str = "((0,0),(1,1))|[(0,0),(1,1)]|(0,0),(1,1)|0,0,1,1|(0,0,1,1)|[0,0,1,1]|((0,0),(1,1),(2,0))|[(0,0)]|((0,0))|(0,0)|0,0|((0,0),(1,1)|[(0,0),(1,1))|((0,0),(1,1)]|((0,0)(1,1))|(0,0),(1|[]|()|| ( (0,0) , (1,1) ) |((3,1),(1,3))|(1,1),(0,0)|(0,1),(1,0)|((nan,1),(2,inf))|((0,0),(1,1)) x|(((0,0),(1,1)))|((1,2),(3,4),(5,6),(7,8))|(1,2),(3,4),(5,6)|1,2,3,4,5,6|[1,2,3,4)|(1,2),3,4";
const CIRCLES: &str = "<(1,2),3>|((1,2),3)|(1,2),3|1,2,3|<1,2,3>|<(1,2),-3>|<(1,2),nan>|<(1,2),inf>|<(1,2),3|<(1,2),3)|((1,2),3>|(1,2,3)| < ( 1 , 2 ) , 3 > |<(1,2)3>|<(1,2),>||<(1,2),3> x|<(0,0),0>";
const INT_RANGES: &str = "empty| EMPTY |[1,5]|[1,5)|(1,5]|(1,5)|(,5]|[1,)|(,)|[,]|[5,1]|[1,1)|[1,1]|(1,2)|[ 1 , 5 ]|[\"1\",5]|[a,5]|[1,5|1,5|[1,2,3]|[1,5]x| [1,5] |[1,2147483647]|(2147483647,)|[9223372036854775807,]|[1,9223372036854775807]||[\"\",5]|[1\\,5]|emptyx|(-1,+1)";
const NUM_RANGES: &str = "empty|[1.0,5]|[1.5,1.50]|[1.5,1.50)|(1.1,1.2)|[-1,1]|[5,1]|[nan,nan]|[1,nan]|[inf,nan]|[-inf,inf]|(,1.5]|[0,-0]|[0.0,0)|[100,99.999]|[-5,-6]|[-6,-5]|[0.1,0.09]|[0.09,0.1]|[1e3,1000.0]";
const DATE_RANGES: &str = "empty|[2024-01-31,2024-02-29]|[2024-01-31,2024-02-29)|(2024-01-31,2024-02-01)|[2024-02-29,2024-01-31]|(,2024-01-31]|[infinity,infinity]|[-infinity,infinity)|(-infinity,infinity]|[5874897-12-31,]|(5874897-12-31,)|[2024-01-31 ,\" Feb 1 2024\"]|[today,]|[\"Jan 31, 2024\",)|(2024-01-31,2024-01-31]|[0044-03-15 BC,0044-03-16 BC]";
const TIMESTAMP_RANGES: &str = "empty|[2024-01-31 12:00,2024-02-29 13:00)|(\"2024-01-31 12:00:00\",\"2024-02-29\"]|[2024-02-29,2024-01-31]|[2024-01-31,2024-01-31]|[2024-01-31,2024-01-31)|(,infinity]|[-infinity,)|[2024-07-31 12:00+02,2024-08-01 00:00 UTC]|[\"Wed Jul 31 12:34:56 2024 CEST\",)";
const INT_MULTIRANGES: &str = r#"{}|{ }|{empty}|{ Empty , empty }|{empty,}|{,}|{[1,5]}|{[1,5),(5,7]}|{[1,5],(5,7]}|{[7,9],[1,2]}|{[1,3),[2,7),[2,4)}|{(,5],[3,)}|{(,)}|{(,),[1,2]}|{(,1),(1,)}|{(,1],(1,)}|{[1,2),[2,3),[3,4)}|{[1,2],[3,4],[6,7]}|{[5,1]}|{(1,2)}|{(1,1)}|{["1",5]}|{["1""",5]}|{[\1,5]}|{[1\ ,5]}|{[1,5\]}|{[a,5]}|{[1,5}|[1,5]|{[1,5]}x| { [ 1 , 5 ] , [ 7 , 9 ] } |{[1,5] [7,9]}|{[1,5],[7,9],}|{{[1,5]}}|{[1,2147483647]}|{(2147483647,)}|{[9223372036854775807,]}|{[1,9223372036854775806],[-3,0]}|{[1,1],[3,3],[5,5],[7,7],[9,9],[2,2],[4,4],[11,11]}||{|}|{1}|{emptyx}|{[1,2]empty}|{["]",5]}|{[1,2)),(3,4)}|{[,]}|{[-5,-3],[-4,8]}"#;
const NUM_MULTIRANGES: &str = "{}|{[1.0,5]}|{[1.0,5],[1.00,5.0]}|{[1.00,5.0],[1.0,5]}|{[1.0,2],[1,2.0]}|{(1,2),(2,3)}|{(1,2],(2,3)}|{(1,2),[2.0,3)}|{[1.5,1.5],[1.50,1.50]}|{[nan,nan],[1,2]}|{[1,nan],[inf,inf]}|{[-inf,inf],(,0]}|{(,1.5],[1.50,)}|{[0,-0],[0.0,0]}|{[0.1,0.2),[0.10,0.20]}|{[1e3,1000.0],(999,1000)}|{(1,5),[1.0,4]}|{[1,5),(2,5.0]}|{[5,6],[3,4],[1,2]}|{[1,1],[2,2],[3,3],[4,4],[5,5],[6,6],[7,7],[8,8]}|{[8,9],[7,7],[6,6],[5,5],[4.0,4.0],[3,3],[2,2],[1,1],[4,4]}|{[1,1]";
const DATE_MULTIRANGES: &str = "{}|{[2024-01-31,2024-02-29],[2024-03-01,2024-03-01]}|{[2024-01-31,2024-02-29),(2024-02-28,2024-03-01)}|{[infinity,infinity]}|{(,infinity],[2024-01-31,)}|{[-infinity,infinity)}|{(-infinity,infinity]}|{(-infinity,2024-01-31),(,-infinity]}|{[-infinity,-infinity],(-infinity,2024-01-31)}|{[2024-01-31,infinity),[infinity,infinity]}|{[2024-01-31,infinity],(infinity,)}|{(,-infinity),[-infinity,2024-01-31)}|{[5874897-12-31,]}|{(\"Jan 31, 2024\",2024-02-03),(2024-02-05,2024-02-03)}|{[0044-03-15 BC,0044-03-16 BC],[2024-01-31 ,\" Feb 1 2024\"]}|{[2024-02-30,]}";
const TIMESTAMP_MULTIRANGES: &str = "{}|{[2024-01-31 12:00,2024-02-29 13:00),[2024-02-29 13:00,2024-03-01]}|{(2024-01-31,2024-02-01),(2024-02-01,2024-02-02)}|{(\"2024-01-31 12:00:00\",\"2024-02-29\"],(,2024-01-01)}|{[2024-02-29,2024-01-31]}|{(,infinity],(infinity,)}|{(,infinity),(infinity,)}|{[-infinity,),empty}|{[2024-07-31 12:00+02,2024-08-01 00:00 UTC],[2024-10-27 02:30,2024-10-27 02:31]}|{[\"Wed Jul 31 12:34:56 2024 CEST\",)}";

const XMLS: &str = "|text|<a/>|<a:b/>| <a/> <b/>|<a>&amp;&#65;&#x41;</a>|<a>&nbsp;</a>|<a x='1' x='2'/>|<a b=1/>|<?xml version='1.0'?><a/>|<!DOCTYPE a><a/>|<!-- c --><?pi x?><![CDATA[x]]>|<a>]]></a>|&lt;|<a|a<b|<a xmlns:x='u'><x:b/></a>|<a b='<'/>|<a>&#0;</a>|<a\nb='1'\t/>|\n<a/>|<ä/>|<1a/>|<!-- a -- b -->|<a b='1'c='2'/>|<a></a >|<xml/>|<?XML x?>|<a x:y='1'/>|<a>\u{fffe}</a>|<a b='&foo;'/>|<a><b></a></b>|</a>|<a>|<a/ >|< a/>|<a>ä😀</a>|a&b|<a b = \"1\" c='2'>x<!----></a>|<?pi?>|<!--->|<a b/>|<a.b-c_d/>";

const QUERIES: &str = r#"a| a |a & b|a&b&c|a & (b & c)|(a & b) & c|a|!a|! a|!!a|!(a & b)|!a & !b|a <-> b|a<->b<->c|a <-> (b <-> c)|(a <-> b) <-> c|a <2> b|a <0> b|a <1> b|a <01> b|a <16384> b|a <16385> b|a <99999999999999999999> b|a <-1> b|a < - > b|a <2 >b|a <2|a <->|<-> a|a:*|a:A|a:aBcD|a:*D*d|a:E|a:Az|a: A|a:|a:&b|a::b|'a b'|'a''b'|'a\'b'|''|'a|a'b|a\ b|\a|a\|a b|a & & b|a &|& a|()|((a))|( a )|a)(|a<b|a>b|<a|-a|a-b|a.b|ä & ö|😀|a!b|a(b)|'a'b|'a':*B & c|!a <-> !b|a <-> !(b & c)|!(a <-> b)|a & !b:C <3> c|a&b:*&!c|(a & b) <-> c|a <-> (b & c)|a <-> b & c|a & b <-> c|!(!a)|(a <-> b) <2> (c <-> d)|a <-> ((b & c) <-> d)|"#;
const VECTORS: &str = "|a|a b c|b a|a a|'a b'|'a''b' c|a:1|a:1A,2b,3C,4D|'a':1 b:2|b:3 a:1,2 b:1A|a:2,1|a:1,1A|a:0|a:16383|a:20000|a:|a:x|:1|''|'a|a\\\\ b|a\\:b|a\\|'a'b|a'b|a:1A2|a:1AB|ä:1|'|a:1 a|a a:3|aa ab a B Z|  a  ";

/// Types with literals for them, which `|` separates.
pub fn types() -> Vec<(&'static str, &'static str)> {
    let mut types = Vec::new();
    let groups: &[(&str, &[&'static str])] = &[
        (TEXTS, &["text", "varchar", "varchar(3)", "char(3)", "char", "bpchar"]),
        (NAMES, &["name"]),
        (BOOLS, &["bool"]),
        (INTEGERS, &["int2", "int4", "int8"]),
        (FLOATS, &["float4", "float8"]),
        (NUMERICS, &["numeric", "numeric(5,2)", "numeric(3)", "numeric(3,-2)", "numeric(2,4)", "numeric(30,10)"]),
        (BYTEAS, &["bytea"]),
        (UUIDS, &["uuid"]),
        (DATES, &["date"]),
        (CHARS, &["\"char\""]),
        (OIDS, &["oid"]),
        (BITS, &["bit", "bit(3)", "bit varying", "bit varying(4)"]),
        (INETS, &["inet", "cidr"]),
        (MACS, &["macaddr", "macaddr8"]),
        (MONEYS, &["money"]),
        (JSONS, &["json", "jsonb"]),
        (XMLS, &["xml"]),
        (VECTORS, &["tsvector"]),
        (QUERIES, &["tsquery"]),
        (LSNS, &["pg_lsn"]),
        (SNAPSHOTS, &["pg_snapshot", "txid_snapshot"]),
        (POINTS, &["point"]),
        (LINES, &["line"]),
        (PATHS, &["lseg", "box", "path", "polygon"]),
        (CIRCLES, &["circle"]),
        (INT_RANGES, &["int4range", "int8range"]),
        (NUM_RANGES, &["numrange"]),
        (DATE_RANGES, &["daterange"]),
        (TIMESTAMP_RANGES, &["tsrange", "tstzrange"]),
        (INT_MULTIRANGES, &["int4multirange", "int8multirange"]),
        (NUM_MULTIRANGES, &["nummultirange"]),
        (DATE_MULTIRANGES, &["datemultirange"]),
        (TIMESTAMP_MULTIRANGES, &["tsmultirange", "tstzmultirange"]),
        ("294276-12-31 23:59:59.999999|294276-12-31 23:59:59.9999999", &["timestamp", "timestamptz"]),
        (TIMESTAMPS, &["timestamp", "timestamp(0)", "timestamp(3)", "timestamptz", "timestamptz(2)"]),
        (TIMES, &["time", "time(0)", "time(3)", "timetz", "timetz(1)"]),
        (
            INTERVALS,
            &[
                "interval",
                "interval(0)",
                "interval(2)",
                "interval year",
                "interval year to month",
                "interval day",
                "interval day to hour",
                "interval hour",
                "interval hour to minute",
                "interval minute to second",
                "interval second(1)",
                "interval month",
                "interval day to second(3)",
            ],
        ),
    ];
    for (examples, names) in groups {
        types.extend(names.iter().map(|name| (*name, leaked(examples))));
    }
    types
}

fn leaked(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

/// Whether forms of the type depend on the session's settings.
pub fn depends_on_settings(scalar: Scalar) -> bool {
    matches!(
        scalar,
        Scalar::Date
            | Scalar::Time
            | Scalar::TimeTz
            | Scalar::Timestamp
            | Scalar::TimestampTz
            | Scalar::Interval
            | Scalar::Bytea
            | Scalar::Float4
            | Scalar::Float8
            | Scalar::TsRange
            | Scalar::TstzRange
            | Scalar::DateRange
            | Scalar::TsMultirange
            | Scalar::TstzMultirange
            | Scalar::DateMultirange
            | Scalar::Point
            | Scalar::Line
            | Scalar::Lseg
            | Scalar::Box
            | Scalar::Path
            | Scalar::Polygon
            | Scalar::Circle
    )
}

/// The examples, and variations of them: characters left out, doubled, exchanged for others that occur in them.
pub fn varied(examples: &str, round: usize) -> Vec<String> {
    let picked: Vec<&str> = examples.split('|').collect();
    let alphabet: Vec<char> = examples.chars().filter(|letter| *letter != '|').collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round as u64) << 32 ^ examples.len() as u64);
    let mut all: Vec<String> = picked.iter().map(|literal| (*literal).to_owned()).collect();
    for _ in 0..VARIATIONS {
        let mut letters: Vec<char> = picked[random.below(picked.len())].chars().collect();
        for _ in 0..=random.below(2) {
            let at = random.below(letters.len() + 1);
            let letter = alphabet[random.below(alphabet.len())];
            match random.below(4) {
                0 if at < letters.len() => {
                    letters.remove(at);
                }
                1 => letters.insert(at, letter),
                // Digits for digits keep most forms whole.
                2 if at < letters.len() && letters[at].is_ascii_digit() => {
                    letters[at] = char::from(b'0' + random.below(10) as u8);
                }
                _ if at < letters.len() => letters[at] = letter,
                _ => {}
            }
        }
        all.push(letters.into_iter().collect());
    }
    all
}

/// Binary forms with bytes exchanged, left out and added.
pub fn damaged(forms: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(0x2545_f491_4f6c_dd1d ^ forms.len() as u64);
    let mut all = Vec::new();
    for _ in 0..count {
        let Some(mut bytes) = forms.get(random.below(forms.len())).cloned() else { continue };
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len() + 1);
            match random.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, random.below(256) as u8),
                2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
                _ => bytes.push(0),
            }
        }
        all.push(bytes);
    }
    all
}

/// Variations of a type's literals under each of the settings.
const VARIATIONS: usize = 300;

/// Numbers that look random (xorshift*).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() >> 33) as usize % end.max(1)
    }
}
